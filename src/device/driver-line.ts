import { RECORD_TYPES, type RecordTypeName } from "../records/index.js";
import type { LogEvent, StartedDriver } from "../virtio/vhost-user/index.js";
import { V2_TYPES } from "./request.js";
import { CONFIG_BYTES, F_EXTENDED, F_PANIC_VQ } from "./wire.js";

/** The queue that a driver of version 2 doesn't know. */
const PANIC_QUEUE = 2;

/** What is known of a driver that has started. */
export interface DriverFacts extends StartedDriver {
  /** It uses more than the wire of 2016. */
  readonly extended: boolean;
  /** The device's feature bits that it negotiated. */
  readonly negotiated: bigint;
  /** The types of records that the device takes. */
  readonly types: readonly RecordTypeName[];
}

/** The same in short. */
export interface DriverSummary {
  /** `unknown`: the driver was there before its VMM connected. */
  readonly interface: "extended" | "2016" | "unknown";
  /** The types of records that it may send. */
  readonly types: readonly RecordTypeName[];
  /** How many queues it uses. */
  readonly queues: number;
}

export function summarizeDriver(facts: DriverFacts): DriverSummary {
  const name = interfaceOf(facts);
  const known = name === "2016" ? V2_TYPES : RECORD_TYPES;
  const types = known.filter((type) => facts.types.includes(type));
  return { interface: name, types, queues: facts.queues.length };
}

/** What the operator is told of it, in one line: what it got, and why it didn't get the rest. */
export function describeDriver(facts: DriverFacts): LogEvent {
  const { interface: name, types, queues: count } = summarizeDriver(facts);
  const known = name === "2016" ? V2_TYPES : RECORD_TYPES;
  const others = known.filter((type) => !facts.types.includes(type));
  const parts = [
    INTERFACES[name] + inBrackets(whyNotExtended(facts)),
    `types ${types.join(", ")}` +
      inBrackets(others.length > 0 ? `not ${others.join(", ")}: see --types` : undefined),
    (count === 1 ? "1 queue" : `${count} queues`) + inBrackets(whyNoPanicQueue(facts)),
  ];
  return {
    level: "info",
    code: "DRIVER",
    message: `driver started: ${parts.join("; ")}`,
    details: { interface: name, types: types.join(","), queues: count },
  };
}

const INTERFACES = {
  extended: "extended interface",
  "2016": "interface of 2016",
  unknown: "interface not known",
} as const;

const inBrackets = (text: string | undefined): string => (text === undefined ? "" : ` (${text})`);

function interfaceOf({ extended, configRead }: DriverFacts): keyof typeof INTERFACES {
  if (extended) return "extended";
  return configRead === 0 ? "unknown" : "2016";
}

function whyNotExtended({ extended, configRead }: DriverFacts): string | undefined {
  if (extended) return undefined;
  if (configRead === 0) return "the VMM connected after its start";
  const kept =
    configRead < CONFIG_BYTES
      ? `and the configuration from byte ${configRead} on back`
      : "back and changes the configuration";
  return `the driver knows no other, or the VMM keeps the feature bits below 24 ${kept}`;
}

function whyNoPanicQueue({ extended, negotiated, queues }: DriverFacts): string | undefined {
  if (!extended || queues.includes(PANIC_QUEUE)) return undefined;
  const declined = (negotiated & F_EXTENDED) !== 0n && (negotiated & F_PANIC_VQ) === 0n;
  return declined
    ? "none for a panic: VIRTIO_PSTORE_F_PANIC_VQ wasn't negotiated"
    : "none for a panic: the VMM has no third";
}
