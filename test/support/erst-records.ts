import {
  DESCRIPTOR,
  DESCRIPTOR_BYTES,
  HEADER,
  HEADER_BYTES,
  REVISION,
  SIGNATURE,
  SIGNATURE_END,
  VALID_TIMESTAMP,
} from "../../src/formats/erst/cper.js";
import { CREATOR_PSTORE, SECTION_DMESG_Z } from "../../src/formats/erst/guid.js";

/** The bytes of a GUID that is given as text. */
function parseGuid(text: string): Uint8Array {
  const plain = Buffer.from(text.replaceAll("-", ""), "hex");
  const order = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
  return Uint8Array.from(order, (i) => plain[i] ?? 0);
}

interface TestSection {
  readonly type: string;
  readonly body: Uint8Array;
}

/** A record that a test makes; what isn't given is as Linux's pstore has it. */
export interface TestRecord {
  readonly id: bigint;
  readonly sections?: readonly TestSection[];
  /** One section of pstore's, compressed. */
  readonly body?: Uint8Array;
  readonly creator?: string;
  /** Null: the validation bit isn't set. */
  readonly timestamp?: bigint | null;
}

/** A record's bytes: header, descriptors, and the sections' bodies behind one another. */
export function encodeCper(record: TestRecord): Buffer {
  const { id, timestamp = 1_790_000_000n, creator = CREATOR_PSTORE } = record;
  const sections: readonly TestSection[] = record.sections ?? [
    { type: SECTION_DMESG_Z, body: record.body ?? Buffer.from("a part") },
  ];
  const bodies = HEADER_BYTES + sections.length * DESCRIPTOR_BYTES;
  const length = bodies + sections.reduce((sum, { body }) => sum + body.length, 0);
  const bytes = Buffer.alloc(length);
  bytes.writeUInt32LE(SIGNATURE, HEADER.signature);
  bytes.writeUInt16LE(REVISION, HEADER.revision);
  bytes.writeUInt32LE(SIGNATURE_END, HEADER.signatureEnd);
  bytes.writeUInt16LE(sections.length, HEADER.sectionCount);
  bytes.writeUInt32LE(1, HEADER.severity);
  bytes.writeUInt32LE(timestamp === null ? 0 : VALID_TIMESTAMP, HEADER.validationBits);
  bytes.writeUInt32LE(length, HEADER.recordLength);
  bytes.writeBigUInt64LE(timestamp ?? 0n, HEADER.timestamp);
  bytes.set(parseGuid(creator), HEADER.creatorId);
  bytes.writeBigUInt64LE(id, HEADER.recordId);
  let offset = bodies;
  for (const [i, { type, body }] of sections.entries()) {
    const at = HEADER_BYTES + i * DESCRIPTOR_BYTES;
    bytes.writeUInt32LE(offset, at + DESCRIPTOR.sectionOffset);
    bytes.writeUInt32LE(body.length, at + DESCRIPTOR.sectionLength);
    bytes.writeUInt16LE(REVISION, at + DESCRIPTOR.revision);
    bytes.set(parseGuid(type), at + DESCRIPTOR.sectionType);
    bytes.set(body, offset);
    offset += body.length;
  }
  return bytes;
}

/** What a store is made of: records by slot, from the first one that may hold any. */
export interface TestStore {
  readonly fileBytes?: number;
  readonly recordSize?: number;
  readonly records?: readonly (TestRecord | undefined)[];
}

/** A store's file, as QEMU writes it. */
export function encodeStore({
  fileBytes = 65536,
  recordSize = 8192,
  records = [],
}: TestStore = {}): Buffer {
  const bytes = Buffer.alloc(fileBytes);
  const slots = fileBytes / recordSize;
  const storageOffset = Math.ceil((24 + 8 * slots) / recordSize) * recordSize;
  bytes.write("ERSTSTOR", 0, "latin1");
  bytes.writeUInt32LE(recordSize, 8);
  bytes.writeUInt32LE(storageOffset, 12);
  bytes.writeUInt16LE(0x0100, 16);
  bytes.writeUInt32LE(records.filter((record) => record !== undefined).length, 20);
  for (const [i, record] of records.entries()) {
    if (record === undefined) continue;
    const slot = storageOffset / recordSize + i;
    bytes.writeBigUInt64LE(record.id, 24 + 8 * slot);
    bytes.fill(0xff, slot * recordSize, (slot + 1) * recordSize);
    bytes.set(encodeCper(record), slot * recordSize);
  }
  return bytes;
}
