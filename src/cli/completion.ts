import { Argument, type Command } from "commander";
import { type AddAll, type CommandRow, commandTable, type OptionRow } from "./command-table.js";
import { writeOut } from "./stdout.js";

const SHELLS = { bash, zsh, fish };

export function addCompletion(program: Command, addAll: AddAll): void {
  program
    .command("completion")
    .summary("print a shell's completion of this program")
    .description(
      "Prints a completion script. bash reads it with source; zsh wants it in a file _virtio-pstore in $fpath, " +
        "fish in ~/.config/fish/completions.",
    )
    .addArgument(new Argument("<shell>", "the shell").choices(Object.keys(SHELLS)))
    .action(async (shell: keyof typeof SHELLS) => {
      await writeOut(SHELLS[shell](await commandTable(addAll)));
    });
}

/** Commands, those of `erst` among them; bash and fish complete the words before the options one by one. */
const wordsAfter = (table: readonly CommandRow[], before: string): string[] =>
  table
    .map(({ name }) => name)
    .filter((name) => name.startsWith(before) && !name.slice(before.length).includes(" "))
    .map((name) => name.slice(before.length));

const groups = (table: readonly CommandRow[]): string[] =>
  table.map(({ name }) => name).filter((name) => wordsAfter(table, `${name} `).length > 0);

/** What an argument can be; file names where nothing is said. */
const choicesOf = (row: CommandRow): string =>
  row.arguments.flatMap(({ choices }) => choices).join(" ");

function bash(table: readonly CommandRow[]): string {
  const values = table.flatMap(({ name, options }) =>
    options
      .filter(({ value }) => value !== undefined)
      .map(({ flags, choices }) => {
        const pattern = flags.map((flag) => `"${name} ${flag}"`).join(" | ");
        // Without choices, file names.
        return `    ${pattern}) words="${choices.join(" ")}"; values=1 ;;`;
      }),
  );
  const options = table.map(({ name, options }) => {
    const flags = options.flatMap((option) => option.flags).join(" ");
    return `    "${name}") words="${flags}" ;;`;
  });
  const others = table.map((row) => {
    const words = wordsAfter(table, `${row.name} `).join(" ") || choicesOf(row);
    return words === "" ? "" : `    "${row.name}") words="${words}" ;;\n`;
  });
  return `# bash completion of virtio-pstore
_virtio_pstore() {
  local current="\${COMP_WORDS[COMP_CWORD]}" before="\${COMP_WORDS[COMP_CWORD - 1]}"
  local command="\${COMP_WORDS[1]-}" words="" values=""
  local i
  COMPREPLY=()
  # What follows is another command.
  for ((i = 1; i < COMP_CWORD; i++)); do
    [[ \${COMP_WORDS[i]} == -- ]] && return
  done
  # --color=always is three words.
  [[ $before == = ]] && before="\${COMP_WORDS[COMP_CWORD - 2]}"
  [[ $current == = ]] && current=""
  if ((COMP_CWORD == 1)); then
    words="${wordsAfter(table, "").join(" ")} --help --version"
    COMPREPLY=($(compgen -W "$words" -- "$current"))
    return
  fi
  case "$command" in
    ${groups(table).join(" | ")}) ((COMP_CWORD > 2)) && command="$command \${COMP_WORDS[2]}" ;;
  esac
  case "$command $before" in
${values.join("\n")}
  esac
  if [[ -z $values && $current == -* ]]; then
    case "$command" in
${options.join("\n")}
    esac
  elif [[ -z $values ]]; then
    case "$command" in
${others.join("")}    esac
  fi
  [[ -n $words ]] && COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -o default -F _virtio_pstore virtio-pstore
`;
}

/** For a word in single quotes in which \`_arguments\` reads brackets and colons. */
const zshText = (text: string): string =>
  text.replaceAll("'", "’").replace(/[[\]:\\]/g, (character) => `\\${character}`);

function zshOption({ flags, value, choices, description }: OptionRow): string[] {
  const action = choices.length > 0 ? `(${choices.join(" ")})` : "_files";
  const takes = value === undefined ? "" : `:${zshText(value)}:${action}`;
  // Its value may be the next word, or behind a = in the same one.
  const joined = (flag: string) => (value !== undefined && flag.startsWith("--") ? "=" : "");
  return flags.map((flag) => `'*${flag}${joined(flag)}[${zshText(description)}]${takes}'`);
}

function zsh(table: readonly CommandRow[]): string {
  const described = (before: string) =>
    wordsAfter(table, before).map((word) => {
      const row = table.find(({ name }) => name === before + word);
      return `'${zshText(word)}:${zshText(row?.summary ?? "")}'`;
    });
  const cases = table.map((row) => {
    const words = wordsAfter(table, `${row.name} `).join(" ") || choicesOf(row);
    const rest = [...(words === "" ? [] : [`'1:word:(${words})'`]), "'*:file:_files'"];
    return `    "${row.name}") _arguments ${[...row.options.flatMap(zshOption), ...rest].join(" ")} ;;`;
  });
  const nested = groups(table).map(
    (name) =>
      `  if [[ $command == ${name} && $words[3] == (${wordsAfter(table, `${name} `).join("|")}) ]] && ((CURRENT > 3)); then
    command="${name} $words[3]"; shift words; ((CURRENT--))
  fi`,
  );
  return `#compdef virtio-pstore
_virtio_pstore() {
  local command=$words[2]
  if ((CURRENT == 2)); then
    local -a commands=(${described("").join(" ")})
    _describe command commands
    return
  fi
${nested.join("\n")}
  shift words; ((CURRENT--))
  case $command in
${cases.join("\n")}
  esac
}
if [[ $funcstack[1] == _virtio-pstore ]]; then _virtio_pstore "$@"; else compdef _virtio_pstore virtio-pstore; fi
`;
}

const fishText = (text: string): string =>
  `'${text.replace(/[\\']/g, (character) => `\\${character}`)}'`;

function fish(table: readonly CommandRow[]): string {
  const lines = table.flatMap((row) => {
    const words = row.name.split(" ");
    const last = words.at(-1) ?? "";
    const offered = `__virtio_pstore_at ${words.slice(0, -1).join(" ")}`.trimEnd();
    const choices = choicesOf(row);
    const complete = (condition: string, what: string) =>
      `complete -c virtio-pstore -n '${condition}' ${what}`;
    return [
      complete(offered, `-f -a ${last} -d ${fishText(row.summary)}`),
      ...(choices === "" ? [] : [complete(`__virtio_pstore_at ${row.name}`, `-f -a '${choices}'`)]),
      ...row.options.map((option) =>
        complete(`__virtio_pstore_in ${row.name}`, fishOption(option)),
      ),
    ];
  });
  return `# fish completion of virtio-pstore
# Whether the words before the one that is completed are these.
function __virtio_pstore_at
  set -l words (commandline -opc)
  test "$words[2..]" = "$argv"
end
# Whether they begin so; behind a -- is another command.
function __virtio_pstore_in
  set -l words (commandline -opc)
  set -l last (math 1 + (count $argv))
  not contains -- -- $words
  and test "$words[2..$last]" = "$argv"
end
${lines.join("\n")}
`;
}

function fishOption({ flags, value, choices, description }: OptionRow): string {
  const named = flags.map((flag) =>
    flag.startsWith("--") ? `-l ${flag.slice(2)}` : `-s ${flag.slice(1)}`,
  );
  const takes =
    value === undefined ? "" : choices.length > 0 ? ` -x -a '${choices.join(" ")}'` : " -r";
  return `${named.join(" ")}${takes} -d ${fishText(description)}`;
}
