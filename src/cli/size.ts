import { InvalidArgumentError } from "commander";
import { formatSize, parseSize } from "../service/size.js";

/** An option's parser for sizes within bounds, in bytes. */
export function sizeOption(smallest: number, largest: number): (text: string) => number {
  return (text) => {
    const size = parseSize(text);
    if (size === undefined) {
      throw new InvalidArgumentError(
        "A size is a number of bytes, or one with K, M or G behind it.",
      );
    }
    if (size < smallest || size > largest) {
      throw new InvalidArgumentError(
        `It must be from ${formatSize(smallest)} to ${formatSize(largest)}.`,
      );
    }
    return size;
  };
}
