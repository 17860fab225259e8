import type { EndKind, RecordTypeName } from "../../records/index.js";
import type { MinFree, OnErase, Quotas, Rates } from "../../store/index.js";
import type { SessionDescriptors } from "../session/index.js";

/** How far a daemon's process is kept from what it doesn't need. */
export interface Confinement {
  /** The version of Landlock that is in force; 0 where none is. */
  readonly landlock: number;
  /** Why none is. */
  readonly reason?: string;
}

/** One guest that a daemon serves. */
export interface GuestSettings {
  /** In logs; empty where there is only one. */
  readonly name: string;
  readonly directory: string;
  /** A listening or a connected socket. */
  readonly fd: number;
  /** `fd` is a connection already. */
  readonly connected: boolean;
  /** What has the guest's session go on when this process ends; where not given, it ends with it. */
  readonly session?: SessionDescriptors;
}

/** What every guest's device is made with. */
export interface DeviceSettings {
  /** In bytes. */
  readonly bufsize: number;
  /** The most data of one WRITE, in bytes, for drivers that know of it. */
  readonly maxData: number;
  /** The types of records that are taken. */
  readonly types: readonly RecordTypeName[];
  /** Dumps that the guest didn't compress are stored with gzip. */
  readonly compress: boolean;
  readonly onErase: OnErase;
  /** What the records of each type may take in a guest's directory. */
  readonly quotas: Quotas;
  /** How fast a guest's records of each type may come. */
  readonly rates: Rates;
  /** What is left free on each directory's file system. */
  readonly minFree: MinFree;
}

/** What a daemon is started with. */
export interface DaemonSettings extends DeviceSettings {
  readonly guests: readonly GuestSettings[];
  /**
   * A service manager started it, which keeps its sessions: a daemon that is told to stop leaves them to the next
   * one. It may also have given it mounts of its own, where other directories are read-only.
   */
  readonly managed?: boolean;
  /** The version of Landlock that confines this process; 0 where none does. */
  readonly landlock?: number;
  /**
   * Threads that wait for the disk, so that one guest's slow fsync doesn't keep others waiting; 0:
   * the event loop's thread waits itself, which is faster while there is one guest.
   */
  readonly syncThreads: number;
}

/** What a guest can cause without end comes at a bounded rate. */
interface Limited {
  /** Events that weren't told since the last one: of a log's code, or of the kind. */
  readonly suppressed: number;
}

/** What a daemon tells whoever started it. */
export type DaemonEvent =
  | { readonly kind: "ready" }
  /** Before it is ready: whether it is kept from everything but its guests' directories. */
  | ({ readonly kind: "confined" } & Confinement)
  | ({ readonly kind: "connected"; readonly guest: string } & Limited)
  /** `end`: how the guest ended; not there where we ended the connection, or there was hardly a guest. */
  | ({ readonly kind: "disconnected"; readonly guest: string; readonly end?: EndKind } & Limited)
  | {
      readonly kind: "stored";
      readonly guest: string;
      readonly path: string;
      /** In bytes. */
      readonly size: number;
    }
  | ({
      readonly kind: "log";
      readonly guest: string;
      readonly level: "info" | "warn" | "error";
      readonly code: string;
      readonly message: string;
      /** The same for programs: names and numbers that are in the message. */
      readonly details?: Readonly<Record<string, string | number>>;
    } & Limited)
  /**
   * Another directory has the name of the guest's, which this process is confined not to use: it answers nothing any
   * more and is to end, and the next one may use it.
   */
  | { readonly kind: "replaced"; readonly guest: string }
  /** The daemon died, of a signal or with an exit status, and another one serves in its place. */
  | { readonly kind: "restarted"; readonly reason: string }
  /** The daemon could not start; nothing is served. */
  | { readonly kind: "failed"; readonly code: string; readonly message: string };
