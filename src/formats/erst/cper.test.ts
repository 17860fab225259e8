import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { encodeCper } from "../../../test/support/erst-records.js";
import { describeCper, parseCper } from "./cper.js";
import { ErstError } from "./errors.js";
import { CREATOR_PSTORE, SECTION_DMESG, SECTION_DMESG_Z, SECTION_MCE } from "./guid.js";
import { payloadOf, timeOf } from "./pstore-record.js";

const PCIE = "d995e954-bbc1-430f-ad91-b44dcb3c6f35";
const FIRMWARE = "81212a96-09ed-4996-9471-8d729c8e69ed";

/** What a change of a good record is refused with. */
function refusal(change: (bytes: Buffer) => Buffer | undefined): string {
  const bytes = encodeCper({ id: 7n, body: Buffer.alloc(100) });
  try {
    parseCper(change(bytes) ?? bytes);
  } catch (error) {
    if (error instanceof ErstError) return `${error.code} ${error.message}`;
    throw error;
  }
  return "accepted";
}

const put16 = (offset: number, value: number) =>
  refusal((bytes) => void bytes.writeUInt16LE(value, offset));
const put32 = (offset: number, value: number) =>
  refusal((bytes) => void bytes.writeUInt32LE(value, offset));

describe("UEFI 2.10, appendix N: a record", () => {
  test("as Linux's pstore writes it", () => {
    const record = parseCper(encodeCper({ id: 0x6a00_0000_0000_0001n, body: Buffer.alloc(9) }));
    expect(record).toEqual({
      id: 0x6a00_0000_0000_0001n,
      creator: CREATOR_PSTORE,
      severity: 1,
      length: 209,
      timestamp: 1_790_000_000n,
      sections: [{ type: SECTION_DMESG_Z, offset: 200, length: 9 }],
    });
    expect(payloadOf(record)).toEqual({ type: "dmesg", compressed: true, offset: 200, length: 9 });
    expect(timeOf(record)).toEqual(new Date(1_790_000_000_000));
    expect(describeCper(record)).toBe("fatal: dmesg, compressed");
  });

  test("what lies behind it is no part of it", () => {
    const bytes = Buffer.concat([encodeCper({ id: 1n }), Buffer.alloc(50, 0xff)]);
    expect(parseCper(bytes).length).toBe(bytes.length - 50);
  });

  test("a part that isn't compressed, and a machine check, which is kept whole", () => {
    const body = Buffer.from("text");
    const plain = parseCper(encodeCper({ id: 1n, sections: [{ type: SECTION_DMESG, body }] }));
    expect(payloadOf(plain)).toEqual({ type: "dmesg", compressed: false, offset: 200, length: 4 });
    const mce = parseCper(encodeCper({ id: 1n, sections: [{ type: SECTION_MCE, body }] }));
    expect(payloadOf(mce)).toEqual({ type: "mce", compressed: false, offset: 0, length: 204 });
    expect(describeCper(mce)).toBe("fatal: machine check");
  });

  test("somebody else's record with two sections, whose time is BCD", () => {
    const record = parseCper(
      encodeCper({
        id: 1n,
        creator: "cf93c01f-1a16-4dfc-b8bc-9c4daf67c104",
        timestamp: 0x2026_1124_0023_5958n,
        sections: [
          { type: PCIE, body: Buffer.alloc(8) },
          { type: FIRMWARE, body: Buffer.alloc(0) },
        ],
      }),
    );
    expect(payloadOf(record)).toMatchObject({ type: "unknown", offset: 0, length: record.length });
    expect(timeOf(record)?.toISOString()).toBe("2026-11-24T23:59:58.000Z");
    expect(describeCper(record)).toBe("fatal: PCI Express + firmware error record");
  });

  test("no time where it isn't valid, or is none", () => {
    expect(timeOf(parseCper(encodeCper({ id: 1n, timestamp: null })))).toBeUndefined();
    expect(timeOf(parseCper(encodeCper({ id: 1n, timestamp: 1n << 63n })))).toBeUndefined();
  });

  test.each([
    ["a header cut short", refusal((bytes) => bytes.subarray(0, 127)), /^CUT/],
    ["another signature", put32(0, 0x52455042), /^BAD_FIELD offset 0: /],
    ["another revision", put16(4, 0x0200), /^BAD_FIELD offset 4: /],
    ["another signature end", put32(6, 0), /^BAD_FIELD offset 6: /],
    ["more sections than fit", put16(10, 4), /^BAD_FIELD offset 10: 4 sections/],
    ["a length below the header's", put32(20, 127), /^BAD_FIELD offset 20: /],
    ["a length beyond the slot", put32(20, 301), /^BAD_FIELD offset 20: /],
    ["a length of 4 GiB - 1", put32(20, 0xffffffff), /^BAD_FIELD offset 20: /],
    ["a section in the header", put32(128, 199), /^BAD_FIELD offset 128: /],
    ["a section behind the end", put32(128, 301), /^BAD_FIELD offset 128: /],
    ["a section that is too long", put32(132, 101), /^BAD_FIELD offset 132: /],
    ["a section of 4 GiB - 1", put32(132, 0xffffffff), /^BAD_FIELD offset 132: /],
  ])("%s is refused, with the offset", (_, refused, expected) => {
    expect(refused).toMatch(expected);
  });

  test("sections that overlap are refused", () => {
    const bytes = encodeCper({
      id: 1n,
      sections: [
        { type: PCIE, body: Buffer.alloc(8) },
        { type: PCIE, body: Buffer.alloc(8) },
      ],
    });
    bytes.writeUInt32LE(128 + 2 * 72 + 7, 128 + 72);
    expect(() => parseCper(bytes)).toThrow(/^offset 200: two sections overlap at 279$/);
  });

  test("whatever the bytes, they are read or refused, and nothing lies outside", () => {
    const arbitrary = fc.tuple(
      fc.array(fc.tuple(fc.nat(299), fc.nat(255)), { maxLength: 12 }),
      fc.nat(300),
    );
    fc.assert(
      fc.property(arbitrary, ([changes, cut]) => {
        const bytes = encodeCper({ id: 7n, body: Buffer.alloc(100) });
        for (const [at, value] of changes) bytes[at] = value;
        try {
          const record = parseCper(bytes.subarray(0, 300 - (cut % 40)));
          for (const { offset, length } of [...record.sections, payloadOf(record)]) {
            expect(offset + length).toBeLessThanOrEqual(record.length);
          }
          timeOf(record);
          describeCper(record);
        } catch (error) {
          expect(error).toBeInstanceOf(ErstError);
        }
      }),
      { numRuns: 2000 },
    );
  });
});
