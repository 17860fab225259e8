import { recordKey } from "../records/record-name.js";
import type { Files } from "./files.js";
import { OpenDirectory } from "./open-directory.js";
import { type Quotas, segmentBytes } from "./quota.js";
import { type Dropped, QuotaLimiter } from "./quota-limiter.js";
import type { TableEntry } from "./record-table.js";
import { type StreamHost, Streams } from "./streams.js";

/** What a StoreDirectory is opened with. */
export interface StoreDirectoryOptions {
  readonly files: Files;
  readonly path: string;
  /** Ids begin here, or behind those that the directory knows of. */
  readonly firstId: bigint;
  readonly quotas: Quotas;
  /** Closes a descriptor once no commit that is under way uses it. */
  readonly retire: (fd: number) => void;
  /** Whether the guest's turn has lasted long enough. */
  readonly isTurnOver: () => boolean;
  /** Does something in another turn. */
  readonly later: (task: () => void) => void;
  readonly onDropped: (dropped: Dropped) => void;
}

/** A directory, and what works on it. Another takes its place where another directory does. */
export class StoreDirectory {
  readonly directory: OpenDirectory;
  readonly streams: Streams;
  readonly quotas: QuotaLimiter;

  /** Throws DirectoryInUseError, or the system call's error. */
  constructor(options: StoreDirectoryOptions) {
    const { files, path, firstId, quotas, retire } = options;
    const directory = new OpenDirectory({ files, retire }, path, firstId);
    const limiter = new QuotaLimiter({ ...options, directory });
    const host: StreamHost = {
      files,
      directory: path,
      begin: (type, naming) => directory.beginStream(type, naming),
      isErased: (record) => directory.erased.has(recordKey(record)),
      findRoom: (type, into, bytes) => {
        const wanted = { type, records: into === undefined ? 1 : 0, bytes, into };
        limiter.prepare(wanted);
        return limiter.find(wanted);
      },
      grew: (name, bytes) => {
        const { size } = directory.table.get(recordKey(name)) ?? { size: 0 };
        directory.table.set({ name, size: size + bytes, timeMs: Date.now() });
      },
      segmentBytes: (type) => segmentBytes(quotas[type]),
    };
    this.directory = directory;
    this.quotas = limiter;
    this.streams = new Streams(host, directory.index);
  }

  /** Whether the guest isn't shown the record: it isn't durable, it was erased, or its boot goes on. */
  isHidden({ name, pending }: Pick<TableEntry, "name" | "pending">): boolean {
    const erased = this.directory.erased.has(recordKey(name));
    return pending === true || erased || this.streams.isCurrent(name);
  }
}
