import { randomBytes } from "node:crypto";
import { expect, it } from "vitest";
import { decompress } from "../../src/formats/decompress.js";
import { compressors } from "../support/compressed.js";
import { compressedRecord } from "./compressed-record.js";
import { describeGuests } from "./support.js";

describeGuests("what a real kernel's pstore compressed is read", () => {
  it.each(compressors)("%s", async (compressor, compression) => {
    const token = `token-${randomBytes(8).toString("hex")}`;
    const decoded = decompress(await compressedRecord(compressor, token));
    expect(decoded).toMatchObject({ compression, ending: "whole" });
    expect(decoded?.text.toString()).toContain(token);
  });
});
