/** Matches functions by name: exact names, `foo_*` for a beginning, `*_foo` for an end. */
export class Names {
  readonly #words: readonly string[];
  #parsed: { readonly exact: ReadonlySet<string>; readonly patterns: RegExp } | undefined;

  /** @param words names and patterns with white space between */
  constructor(...words: readonly string[]) {
    this.#words = words;
  }

  has(name: string): boolean {
    // Not before: who lists an empty directory asks for none.
    this.#parsed ??= parsed(this.#words);
    return this.#parsed.exact.has(name) || this.#parsed.patterns.test(name);
  }
}

function parsed(words: readonly string[]) {
  const exact = new Set<string>();
  const patterns: string[] = [];
  for (const word of words.join(" ").split(/\s+/)) {
    if (word.includes("*")) patterns.push(word.replace(/[.$<>]/g, "\\$&").replaceAll("*", ".*"));
    else exact.add(word);
  }
  return { exact, patterns: new RegExp(`^(?:${patterns.join("|")})$`) };
}
