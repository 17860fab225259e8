/** Matches functions by name: exact names, `foo_*` for a beginning, `*_foo` for an end. */
export class Names {
  readonly #exact = new Set<string>();
  readonly #patterns: RegExp;

  /** @param words names and patterns with white space between */
  constructor(...words: readonly string[]) {
    const patterns: string[] = [];
    for (const word of words.join(" ").split(/\s+/)) {
      if (word.includes("*")) patterns.push(word.replace(/[.$<>]/g, "\\$&").replaceAll("*", ".*"));
      else this.#exact.add(word);
    }
    this.#patterns = new RegExp(`^(?:${patterns.join("|")})$`);
  }

  has(name: string): boolean {
    return this.#exact.has(name) || this.#patterns.test(name);
  }
}
