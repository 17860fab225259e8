import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { notedText } from "../records/note.js";
import { ringText } from "./printk-ring.js";

/** A message as a guest's printk keeps it. */
interface Message {
  readonly text: string;
  readonly priority?: number;
  readonly nanoseconds?: bigint;
  /** Of its descriptor; 2, finalized, where not given. */
  readonly state?: bigint;
  /** Other than the place in the order says. */
  readonly seq?: bigint;
}

/** Sizes and offsets of Linux 6.12 on x86-64, as its VMCOREINFO has them. */
const layout = [
  "SIZE(printk_ringbuffer)=80",
  "SIZE(prb_desc)=24",
  "OFFSET(prb_desc.state_var)=0",
  "OFFSET(prb_desc.text_blk_lpos)=8",
  "OFFSET(prb_data_blk_lpos.begin)=0",
  "OFFSET(prb_data_blk_lpos.next)=8",
  "SIZE(printk_info)=88",
  "OFFSET(printk_info.seq)=0",
  "OFFSET(printk_info.ts_nsec)=8",
  "OFFSET(printk_info.text_len)=16",
];

const SIZE_BITS = 12;
const RING_BYTES = 1 << SIZE_BITS;

/** A part as the guest sends it, behind its first line: written into a ring as printk does. */
function part(messages: readonly Message[], from = 0, first = 0n, sizeBits = SIZE_BITS): Buffer {
  const ringBytes = 1 << sizeBits;
  const ring = Buffer.alloc(ringBytes, 0xaa);
  const descs: Buffer[] = [];
  const infos: Buffer[] = [];
  let head = from;
  messages.forEach(({ text, priority = 6, nanoseconds = 0n, state = 2n, seq }, i) => {
    const id = first + BigInt(i) + 77n;
    const bytes = Buffer.from(text);
    const desc = Buffer.alloc(24);
    const info = Buffer.alloc(88);
    desc.writeBigUInt64LE((state << 62n) | id, 0);
    info.writeBigUInt64LE(seq ?? first + BigInt(i), 0);
    info.writeBigUInt64LE(nanoseconds, 8);
    info.writeUInt16LE(bytes.length, 16);
    info.writeUInt8(priority >> 3, 18);
    info.writeUInt8((priority & 7) << 5, 19);
    if (bytes.length === 0) {
      desc.writeBigUInt64LE(3n, 8);
      desc.writeBigUInt64LE(3n, 16);
    } else {
      const size = (8 + bytes.length + 7) & ~7;
      let block = head;
      let next = head + size;
      if (Math.floor((next - 1) / ringBytes) !== Math.floor(head / ringBytes)) {
        block = Math.floor(next / ringBytes) * ringBytes;
        next = block + size;
      }
      ring.writeBigUInt64LE(id, block % ringBytes);
      bytes.copy(ring, (block % ringBytes) + 8);
      desc.writeBigUInt64LE(BigInt(head), 8);
      desc.writeBigUInt64LE(BigInt(next), 16);
      head = next;
    }
    descs.push(desc);
    infos.push(info);
  });
  const text = Buffer.from(
    Array.from({ length: head - from }, (_, i) => ring[(from + i) % ringBytes] ?? 0),
  );
  const lines = [
    ...layout,
    `NUMBER(seq)=${first}`,
    `NUMBER(records)=${messages.length}`,
    `NUMBER(lpos)=${from}`,
    `NUMBER(bytes)=${text.length}`,
    `NUMBER(size_bits)=${sizeBits}`,
  ];
  return Buffer.concat([Buffer.from(`${lines.join("\n")}\n\n`), ...descs, ...infos, text]);
}

function decoded(data: Buffer): string | undefined {
  const text = ringText(data);
  return text === undefined ? undefined : Buffer.concat([...notedText(text)]).toString();
}

describe("records of printk's ring", () => {
  test("become the lines that the kernel would format", () => {
    const data = part([
      { text: "Linux version 6.12", priority: 5 },
      { text: "two\nlines", nanoseconds: 1_234_567_891n },
      { text: "", nanoseconds: 100_000_000_000_000n },
      { text: "from user space", priority: 12, nanoseconds: 99_999_999_999n },
    ]);
    expect(decoded(data)).toBe(
      [
        "<5>[    0.000000] Linux version 6.12",
        "<6>[    1.234567] two",
        "<6>[    1.234567] lines",
        "<6>[100000.000000] ",
        "<12>[   99.999999] from user space",
        "",
      ].join("\n"),
    );
  });

  test.each([
    [
      "a block that doesn't fit before the ring's end lies at its begin",
      RING_BYTES - 24,
      "x".repeat(40),
    ],
    ["a block that ends where the ring does lies before it", RING_BYTES - 24, "x".repeat(16)],
    ["positions count on beyond the ring", 5 * RING_BYTES + 8, "x".repeat(100)],
  ])("%s", (_, from, text) => {
    const messages = [{ text }, { text: "behind it" }];
    expect(decoded(part(messages, from, 1000n))).toBe(
      `<6>[    0.000000] ${text}\n<6>[    0.000000] behind it\n`,
    );
  });

  test.each([
    ["reserved", { text: "half", state: 0n }],
    ["reusable", { text: "gone", state: 3n }],
    ["of another number", { text: "later", seq: 9n }],
  ])("one that is %s is counted where it is missing", (_, bad) => {
    const data = part([{ text: "before" }, bad, bad, { text: "after" }]);
    expect(decoded(data)).toBe(
      "<6>[    0.000000] before\n[virtio-pstore: 2 lines lost]\n<6>[    0.000000] after\n",
    );
  });

  test("what is counted stands on a line of its own, behind a part that ends within one, too", () => {
    const pieces = ringText(part([{ text: "gone", state: 3n }])) ?? [];
    const text = Buffer.concat([...notedText([Buffer.from("cut off he"), ...pieces])]);
    expect(text.toString()).toBe("cut off he\n[virtio-pstore: 1 lines lost]\n");
  });

  test("one whose text found no room is missing, too", () => {
    const data = part([{ text: "" }, { text: "" }]);
    const descs = data.indexOf("\n\n") + 2;
    data.writeBigUInt64LE(1n, descs + 8);
    data.writeBigUInt64LE(1n, descs + 16);
    expect(decoded(data)).toBe("[virtio-pstore: 1 lines lost]\n<6>[    0.000000] \n");
  });

  test("text of another record in its block is not taken for its own", () => {
    const data = part([{ text: "first" }, { text: "second" }]);
    data.writeBigUInt64LE(12345n, data.length - 16);
    expect(decoded(data)).toBe("<6>[    0.000000] first\n[virtio-pstore: 1 lines lost]\n");
  });

  test("records that all refer to the same text don't multiply it", () => {
    const data = part(["x".repeat(100), "", "", ""].map((text) => ({ text })));
    const descs = data.indexOf("\n\n") + 2;
    const infos = descs + 4 * 24;
    for (let i = 1; i < 4; i++) {
      data.copy(data, descs + i * 24, descs, descs + 24);
      data.writeUInt16LE(100, infos + i * 88 + 16);
    }
    expect(decoded(data)).toBe(
      `<6>[    0.000000] ${"x".repeat(100)}\n[virtio-pstore: 3 lines lost]\n`,
    );
  });

  test.each(layout.slice(1))("without %s nothing is decoded", (line) => {
    const text = part([{ text: "a" }])
      .toString("latin1")
      .replace(`${line}\n`, "");
    expect(decoded(Buffer.from(text, "latin1"))).toBeUndefined();
  });

  test("a part that was cut off isn't decoded", () => {
    const data = part([{ text: "a" }]);
    expect(decoded(data.subarray(0, data.length - 1))).toBeUndefined();
    expect(decoded(Buffer.alloc(0))).toBeUndefined();
  });

  test("whatever the texts and the place in the ring, they come out again", () => {
    const word = fc.stringMatching(/^[ -~]{0,60}$/);
    fc.assert(
      fc.property(fc.array(word, { maxLength: 20 }), fc.nat(1000), (texts, at) => {
        const text = decoded(
          part(
            texts.map((one) => ({ text: one })),
            at * 8,
            BigInt(at),
          ),
        );
        expect(text).toBe(texts.map((one) => `<6>[    0.000000] ${one}\n`).join(""));
      }),
    );
  });

  test("whatever bytes are changed, it ends, and with no more text than there is", () => {
    const data = part(Array.from({ length: 20 }, (_, i) => ({ text: `message ${i}` })));
    const change = fc.tuple(fc.nat(data.length - 1), fc.nat(255));
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 8 }), (changes) => {
        const hurt = Buffer.from(data);
        for (const [at, byte] of changes) hurt[at] = byte;
        expect(decoded(hurt)?.length ?? 0).toBeLessThan(50 * data.length);
      }),
      { numRuns: 500 },
    );
  });

  test("are lost where short lines would become much more text than a record may hold", () => {
    const text = "\n".repeat(60_000);
    const messages = Array.from({ length: 30 }, () => ({ text }));
    const lines = decoded(part([...messages, { text: "last" }], 0, 0n, 21))?.split("\n") ?? [];
    const whole = Math.floor((16 << 20) / (60_001 * "<6>[    0.000000] \n".length));
    expect(lines).toHaveLength(60_001 * whole + 3);
    expect(lines.slice(-3)).toEqual([
      `[virtio-pstore: ${30 - whole} lines lost]`,
      "<6>[    0.000000] last",
      "",
    ]);
  });
});
