// What a daemon is asked, and answers, on its control socket: JSON, each request and each reply one line (docs/json.md).

/** Of requests and replies alike: another number means that neither understands the other. */
export const CONTROL_VERSION = 1;

/** A request's line with its end. */
export const MAX_REQUEST_BYTES = 4096;

export type ControlErrorCode =
  /** No JSON object with a version and a command's name. */
  | "BAD_REQUEST"
  | "TOO_LONG"
  | "VERSION"
  | "UNKNOWN_COMMAND"
  /** What is asked for didn't come in time. */
  | "BUSY"
  | "FAILED";

/** Why a request isn't answered with what it asked for. */
export class ControlError extends Error {
  readonly code: ControlErrorCode;

  constructor(code: ControlErrorCode, message: string) {
    super(message);
    this.name = "ControlError";
    this.code = code;
  }
}

export interface ControlRequest {
  readonly command: string;
  /** What the command is given; what it is, each command says. */
  readonly arguments: Readonly<Record<string, unknown>>;
}

/** What is said of a request that has been answered. */
export type ControlReply =
  | { readonly version: number; readonly result: unknown }
  | {
      readonly version: number;
      readonly error: { readonly code: string; readonly message: string };
    };

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const parseJson = (line: string): unknown => {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
};

/** Of a line without its end. Fields that aren't known count for nothing. Throws ControlError. */
export function parseRequest(line: string): ControlRequest {
  const request = parseJson(line);
  if (!isObject(request)) throw new ControlError("BAD_REQUEST", "a request is one JSON object");
  const { version, command, arguments: given = {} } = request;
  if (version !== CONTROL_VERSION) {
    throw new ControlError("VERSION", `a request has "version": ${CONTROL_VERSION}`);
  }
  if (typeof command !== "string" || !isObject(given)) {
    const message = 'a request has a "command", a string, and may have "arguments", an object';
    throw new ControlError("BAD_REQUEST", message);
  }
  return { command, arguments: given };
}

/** Undefined for what is no reply of this version. */
export function parseReply(line: string): ControlReply | undefined {
  const reply = parseJson(line);
  if (!isObject(reply) || reply.version !== CONTROL_VERSION) return undefined;
  if ("result" in reply) return { version: CONTROL_VERSION, result: reply.result };
  const { error } = reply;
  if (!isObject(error)) return undefined;
  const [code, message] = [String(error.code), String(error.message)];
  return { version: CONTROL_VERSION, error: { code, message } };
}
