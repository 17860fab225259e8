/** A print_fmt says something that isn't evaluated here: its event is shown field by field. */
export class PrintFmtError extends Error {
  override readonly name = "PrintFmtError";
}
