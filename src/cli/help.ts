import { Help, type HelpConfiguration, type Option } from "commander";

/** What every command's `--help` looks like. A flag is off by default: its line doesn't say so. */
export const HELP: HelpConfiguration = {
  optionDescription(option: Option): string {
    const { description, defaultValue } = option;
    return defaultValue === false
      ? description
      : Help.prototype.optionDescription.call(this, option);
  },
};

/** Two command lines for each command, by its name behind `virtio-pstore`; for `--help` and the man page. */
export const EXAMPLES: Readonly<Record<string, readonly string[]>> = {
  run: [
    "virtio-pstore run --directory crashes -- qemu-system-x86_64 -m 512 …",
    "virtio-pstore run --directory crashes --console -- linux.uml mem=128M …",
  ],
  serve: [
    "virtio-pstore serve --socket-path vm1.sock --directory vm1",
    "virtio-pstore serve --guest web=web.sock --guest db=db.sock --directory all",
  ],
  attach: [
    "virtio-pstore attach --pid $(pgrep -fn qemu-system) --directory crashes",
    "virtio-pstore attach --memory vm1.memory --directory vm1 --hang-after off",
  ],
  status: ["virtio-pstore status crashes", "virtio-pstore status --control vm1.control --json"],
  list: ["virtio-pstore list crashes", "virtio-pstore list crashes --since 12h --title KASAN"],
  show: ["virtio-pstore show crashes", "virtio-pstore show crashes web/dmesg-7 --dmesg | less"],
  follow: ["virtio-pstore follow vm1", "virtio-pstore follow crashes --guest web -n 100"],
  watch: [
    'virtio-pstore watch crashes --exec \'printf "%s\\n" "$VIRTIO_PSTORE_TITLE"\'',
    "virtio-pstore watch crashes --once --all --ends --exec ./report.sh",
  ],
  stats: ["virtio-pstore stats crashes", "virtio-pstore stats crashes --since yesterday --json"],
  export: [
    "virtio-pstore export crashes -o report.tar.gz",
    "virtio-pstore export crashes web/dmesg-7 -o reports",
  ],
  inspect: [
    "virtio-pstore inspect --control crashes --guest web log",
    "virtio-pstore inspect --pid $(pgrep -fn qemu-system) log --follow",
  ],
  rm: ["virtio-pstore rm crashes web/dmesg-7", "virtio-pstore rm crashes --until 30d --dry-run"],
  completion: [
    "source <(virtio-pstore completion bash)",
    "virtio-pstore completion fish > ~/.config/fish/completions/virtio-pstore.fish",
  ],
  man: [
    "virtio-pstore man | man -l -",
    "virtio-pstore man > /usr/local/share/man/man1/virtio-pstore.1",
  ],
  "erst info": ["virtio-pstore erst info vm1.erst", "virtio-pstore erst info vm1.erst --json"],
  "erst check": [
    "virtio-pstore erst check vm1.erst",
    "virtio-pstore erst check vm1.erst && virtio-pstore list vm1.erst",
  ],
  "erst create": [
    "virtio-pstore erst create vm1.erst",
    "virtio-pstore erst create vm1.erst --size 4M --record-size 8K",
  ],
  "erst watch": [
    "virtio-pstore erst watch vm1.erst --directory vm1 --qmp vm1.qmp",
    "virtio-pstore erst watch vm1.erst --directory vm1 --clear --once",
  ],
};
