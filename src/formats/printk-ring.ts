import { note } from "../records/note.js";
import { MAX_TEXT_BYTES } from "./decompress.js";
import { formatMessage, type RecordLayout, readRecord, type Sections } from "./printk-record.js";

/** Records of printk's ring as they lay in the guest's memory (docs/protocol.md, Records of printk's ring). */
interface Layout extends RecordLayout {
  readonly records: number;
  /** Bytes of text. */
  readonly bytes: number;
}

/** The layout's lines end with an empty one, at the latest so far behind the first. */
const MAX_LAYOUT_BYTES = 4096;

/** Of a descriptor or an info: far more than any kernel has. */
const MAX_SIZE = 1024;

/** What a piece of text has at most, or a line more. */
const PIECE_BYTES = 64 << 10;

function parseLayout(text: string): Layout | undefined {
  const values = new Map(
    text.split("\n").map((line) => {
      const [name = "", value = ""] = line.split("=");
      return [name, value] as const;
    }),
  );
  let whole = true;
  const big = (name: string): bigint => {
    const value = values.get(name) ?? "";
    if (/^[0-9]{1,20}$/.test(value)) return BigInt(value);
    whole = false;
    return 0n;
  };
  /** A number that is at most `limit`. */
  const small = (name: string, limit: number): number => {
    const value = big(name);
    if (value > BigInt(limit)) whole = false;
    return whole ? Number(value) : 0;
  };
  const offset = (name: string) => small(`OFFSET(${name})`, MAX_SIZE);
  const position = offset("prb_desc.text_blk_lpos");
  const layout: Layout = {
    sizeOf: { desc: small("SIZE(prb_desc)", MAX_SIZE), info: small("SIZE(printk_info)", MAX_SIZE) },
    desc: {
      state: offset("prb_desc.state_var"),
      begin: position + offset("prb_data_blk_lpos.begin"),
      next: position + offset("prb_data_blk_lpos.next"),
    },
    info: {
      seq: offset("printk_info.seq"),
      time: offset("printk_info.ts_nsec"),
      length: offset("printk_info.text_len"),
    },
    first: big("NUMBER(seq)"),
    records: small("NUMBER(records)", 2 ** 31),
    position: big("NUMBER(lpos)"),
    bytes: small("NUMBER(bytes)", 2 ** 31),
    sizeBits: small("NUMBER(size_bits)", 40),
  };
  const { sizeOf, desc, info } = layout;
  const fits =
    Math.max(desc.state, desc.begin, desc.next) + 8 <= sizeOf.desc &&
    Math.max(info.seq, info.time, info.length) + 8 <= sizeOf.info;
  return whole && fits ? layout : undefined;
}

/**
 * The text of such a part, as the guest's kernel formats it for syslog(2), in pieces. `data` is what
 * follows the part's first line. Records that aren't whole are counted where they are missing, in a note of
 * ours, which is a string. Undefined where the layout isn't understood, or there is less than it says.
 */
export function ringText(data: Buffer): Iterable<Buffer | string> | undefined {
  const end = data.subarray(0, MAX_LAYOUT_BYTES).indexOf("\n\n");
  const layout = end === -1 ? undefined : parseLayout(data.toString("latin1", 0, end));
  if (layout === undefined) return undefined;
  const { sizeOf, records, bytes } = layout;
  const infos = end + 2 + records * sizeOf.desc;
  const text = infos + records * sizeOf.info;
  if (text + bytes > data.length) return undefined;
  return pieces(layout, {
    descs: data.subarray(end + 2, infos),
    infos: data.subarray(infos, text),
    text: data.subarray(text, text + bytes),
  });
}

function* pieces(layout: Layout, sections: Sections): Generator<Buffer | string, void, void> {
  let lines: Buffer[] = [];
  let waiting = 0;
  let lost = 0;
  // Blocks of text don't overlap: more than there is can't be referred to.
  let left = layout.bytes;
  let room = MAX_TEXT_BYTES;
  for (let i = 0; i < layout.records; i++) {
    const found = readRecord(layout, sections, i);
    left -= found?.text.length ?? 0;
    const formatted = found === undefined || left < 0 ? undefined : formatMessage(found, room);
    if (formatted === undefined) {
      lost++;
      continue;
    }
    room -= formatted.length;
    if (lost > 0) {
      yield Buffer.concat(lines);
      yield note(`${lost} lines lost`);
      lines = [];
      waiting = 0;
      lost = 0;
    }
    lines.push(formatted);
    waiting += formatted.length;
    if (waiting < PIECE_BYTES) continue;
    yield Buffer.concat(lines);
    lines = [];
    waiting = 0;
  }
  yield Buffer.concat(lines);
  if (lost > 0) yield note(`${lost} lines lost`);
}
