/** Why symbols can't be looked up: a file that isn't what it should be, or no program that reads DWARF. */
export class SymbolsError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "SymbolsError";
  }
}
