import { badField, ErstError } from "./errors.js";
import { formatGuid, GUID_BYTES, sectionName } from "./guid.js";

/**
 * The file of a record that is no dump's part, whole: `cper-` and its id in 16 hexadecimal digits. Where
 * another of this id was there before, 16 digits of its bytes' SHA-256 follow behind a dot.
 */
export const CPER_NAME = /^cper-([0-9a-f]{16})(?:\.[0-9a-f]{16})?$/;

/** A section's description in the record, and where its body lies in it. */
export interface CperSection {
  /** The section's type, a GUID as text. */
  readonly type: string;
  /** Of its body: bytes from the record's begin. */
  readonly offset: number;
  /** Of its body, in bytes. */
  readonly length: number;
}

/** A Common Platform Error Record: its header, and where its sections lie (UEFI 2.10, appendix N.2). */
export interface CperRecord {
  readonly id: bigint;
  /** Whose record it is: a GUID as text. */
  readonly creator: string;
  readonly severity: number;
  /** In bytes, header and sections together. */
  readonly length: number;
  /** The time of the error as the record has it; undefined where its validation bit isn't set. */
  readonly timestamp: bigint | undefined;
  readonly sections: readonly CperSection[];
}

/** Of the record header, which the section descriptors follow. */
export const HEADER_BYTES = 128;

/** Of one section descriptor. */
export const DESCRIPTOR_BYTES = 72;

/** "CPER" (N.2.1, signature start). */
export const SIGNATURE = 0x52455043;

/** Offsets in the record header (N.2.1). All fields are little-endian. */
export const HEADER = {
  signature: 0,
  revision: 4,
  signatureEnd: 6,
  sectionCount: 10,
  severity: 12,
  validationBits: 16,
  recordLength: 20,
  timestamp: 24,
  creatorId: 64,
  notificationType: 80,
  recordId: 96,
  flags: 104,
  persistenceInformation: 108,
} as const;

/** Offsets in a section descriptor (N.2.2). */
export const DESCRIPTOR = {
  sectionOffset: 0,
  sectionLength: 4,
  revision: 8,
  flags: 12,
  sectionType: 16,
  severity: 48,
} as const;

export const REVISION = 0x0100;
export const SIGNATURE_END = 0xffffffff;
export const VALID_TIMESTAMP = 0x2;

/**
 * Reads the record that begins `bytes`, which may be longer. Every length is checked against the
 * record's own, and that against what there is. Throws ErstError, with the offset in the record.
 */
export function parseCper(bytes: Uint8Array): CperRecord {
  if (bytes.length < HEADER_BYTES) {
    throw new ErstError("CUT", `a record of ${bytes.length} bytes: its header has ${HEADER_BYTES}`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const expect = (offset: number, width: 16 | 32, expected: number, name: string) => {
    const value = width === 16 ? view.getUint16(offset, true) : view.getUint32(offset, true);
    if (value === expected) return;
    throw badField(offset, `${name} is 0x${value.toString(16)}, not 0x${expected.toString(16)}`);
  };
  expect(HEADER.signature, 32, SIGNATURE, "the signature");
  expect(HEADER.revision, 16, REVISION, "the revision");
  expect(HEADER.signatureEnd, 32, SIGNATURE_END, "the signature's end");
  const length = view.getUint32(HEADER.recordLength, true);
  if (length < HEADER_BYTES || length > bytes.length) {
    throw badField(
      HEADER.recordLength,
      `a record length of ${length}, where ${HEADER_BYTES} to ${bytes.length} can be`,
    );
  }
  const count = view.getUint16(HEADER.sectionCount, true);
  if (HEADER_BYTES + count * DESCRIPTOR_BYTES > length) {
    throw badField(HEADER.sectionCount, `${count} sections in a record of ${length} bytes`);
  }
  const validation = view.getUint32(HEADER.validationBits, true);
  return {
    id: view.getBigUint64(HEADER.recordId, true),
    creator: guidAt(bytes, HEADER.creatorId),
    severity: view.getUint32(HEADER.severity, true),
    length,
    timestamp:
      (validation & VALID_TIMESTAMP) !== 0 ? view.getBigUint64(HEADER.timestamp, true) : undefined,
    sections: parseSections(bytes, view, count, length),
  };
}

function parseSections(
  bytes: Uint8Array,
  view: DataView,
  count: number,
  recordLength: number,
): CperSection[] {
  const bodies = HEADER_BYTES + count * DESCRIPTOR_BYTES;
  const sections: (CperSection & { readonly at: number })[] = [];
  for (let i = 0; i < count; i++) {
    const at = HEADER_BYTES + i * DESCRIPTOR_BYTES;
    const offset = view.getUint32(at + DESCRIPTOR.sectionOffset, true);
    const length = view.getUint32(at + DESCRIPTOR.sectionLength, true);
    if (offset < bodies || offset > recordLength) {
      throw badField(
        at + DESCRIPTOR.sectionOffset,
        `section ${i} begins at ${offset}, where ${bodies} to ${recordLength} can be`,
      );
    }
    if (length > recordLength - offset) {
      throw badField(
        at + DESCRIPTOR.sectionLength,
        `section ${i} has ${length} bytes, and ${recordLength - offset} are left`,
      );
    }
    sections.push({ type: guidAt(bytes, at + DESCRIPTOR.sectionType), offset, length, at });
  }
  const inOrder = [...sections].sort((a, b) => a.offset - b.offset);
  for (const [i, section] of inOrder.entries()) {
    const before = inOrder[i - 1];
    if (before === undefined || before.offset + before.length <= section.offset) continue;
    throw badField(
      section.at + DESCRIPTOR.sectionOffset,
      `two sections overlap at ${section.offset}`,
    );
  }
  return sections.map(({ type, offset, length }) => ({ type, offset, length }));
}

const guidAt = (bytes: Uint8Array, offset: number): string =>
  formatGuid(bytes.subarray(offset, offset + GUID_BYTES));

/** Error severities by number (N.2.1). */
const SEVERITIES = ["recoverable", "fatal", "corrected", "informational"];

/** One line: what the record is. */
export function describeCper({ severity, sections }: CperRecord): string {
  const kinds = sections.map(({ type }) => sectionName(type)).join(" + ");
  return `${SEVERITIES[severity] ?? `severity ${severity}`}: ${kinds === "" ? "no sections" : kinds}`;
}
