import { createServer, type Socket } from "node:net";
import {
  CONTROL_VERSION,
  ControlError,
  type ControlReply,
  type ControlRequest,
  MAX_REQUEST_BYTES,
  parseRequest,
} from "./protocol.js";

/** One more, and the client that has been waited for the longest is put out: silent ones keep nobody away. */
const MAX_CLIENTS = 16;

/** A client has so long for a whole request, and so long to take the reply. */
const PATIENCE_MS = 10_000;

/** Between two requests of a client: it can't keep this thread busy. */
const PAUSE_MS = 10;

const LINE_END = 0x0a;
const NOTHING = Buffer.alloc(0);

/** What is answered to a command's request. Throws ControlError for one that it can't answer. */
export type ControlCommand = (given: ControlRequest["arguments"]) => Promise<unknown>;

export interface ControlServerOptions {
  /** A listening socket, which the server closes. */
  readonly fd: number;
  readonly commands: ReadonlyMap<string, ControlCommand>;
  readonly patienceMs?: number;
}

/**
 * Answers requests at a control socket, on Node's own event loop. Whoever may connect isn't trusted to behave: what
 * it may have unanswered, and how long it may take, is bounded, and others are served meanwhile.
 */
export class ControlServer {
  readonly #options: ControlServerOptions;
  readonly #server = createServer({ allowHalfOpen: true }, (socket) => {
    this.#take(socket);
  });
  /** The one that has been waited for the longest comes first. */
  readonly #clients = new Set<Client>();

  /** Throws where `fd` is no listening socket. */
  constructor(options: ControlServerOptions) {
    this.#options = options;
    // Out of descriptors, most likely: who connects waits.
    this.#server.on("error", () => undefined);
    this.#server.listen({ fd: options.fd });
  }

  close(): void {
    this.#server.close();
    for (const client of this.#clients) client.end();
  }

  #take(socket: Socket): void {
    const [oldest] = this.#clients;
    if (oldest !== undefined && this.#clients.size >= MAX_CLIENTS) {
      this.#clients.delete(oldest);
      oldest.end();
    }
    const client = new Client(socket, {
      patienceMs: this.#options.patienceMs ?? PATIENCE_MS,
      answer: (line) => this.#answer(line),
      began: () => {
        this.#clients.delete(client);
        this.#clients.add(client);
      },
      ended: () => {
        this.#clients.delete(client);
      },
    });
    this.#clients.add(client);
  }

  async #answer(line: string): Promise<ControlReply> {
    try {
      const { command, arguments: given } = parseRequest(line);
      const answer = this.#options.commands.get(command);
      if (answer === undefined) {
        const known = [...this.#options.commands.keys()].join(", ");
        throw new ControlError("UNKNOWN_COMMAND", `no such command; there is: ${known}`);
      }
      return { version: CONTROL_VERSION, result: await answer(given) };
    } catch (error) {
      return errorReply(error);
    }
  }
}

function errorReply(error: unknown): ControlReply {
  const code = error instanceof ControlError ? error.code : "FAILED";
  const message = error instanceof Error ? error.message : String(error);
  return { version: CONTROL_VERSION, error: { code, message } };
}

/** Without a whole line nothing tells where the next request begins. */
const tooLong = new ControlError(
  "TOO_LONG",
  `a request's line has at most ${MAX_REQUEST_BYTES} bytes`,
);

interface ClientHost {
  readonly patienceMs: number;
  readonly answer: (line: string) => Promise<ControlReply>;
  /** The client is waited for from now on, or is answered. */
  readonly began: () => void;
  readonly ended: () => void;
}

/** One connection: a request is read when the reply before it is taken. */
class Client {
  readonly #socket: Socket;
  readonly #host: ClientHost;
  /** At most what one read brings behind an unfinished line. */
  #received = NOTHING;
  #isAnswering = false;
  #isOver = false;
  #deadline: NodeJS.Timeout | undefined;

  constructor(socket: Socket, host: ClientHost) {
    this.#socket = socket;
    this.#host = host;
    this.#wait();
    socket.on("data", (bytes) => {
      this.#received = Buffer.concat([this.#received, bytes]);
      this.#next();
    });
    // It may say that it asks no more, and still want the reply.
    socket.on("end", () => {
      this.#isOver = true;
      this.#next();
    });
    socket.on("error", () => undefined);
    socket.on("close", () => {
      clearTimeout(this.#deadline);
      host.ended();
    });
  }

  end(): void {
    this.#socket.destroy();
  }

  #wait(): void {
    clearTimeout(this.#deadline);
    this.#deadline = setTimeout(() => {
      this.end();
    }, this.#host.patienceMs);
  }

  #next(): void {
    if (this.#isAnswering) return;
    const at = this.#received.subarray(0, MAX_REQUEST_BYTES).indexOf(LINE_END);
    if (at >= 0) {
      const line = this.#received.toString("utf8", 0, at);
      this.#received = Buffer.from(this.#received.subarray(at + 1));
      void this.#serve(line);
    } else if (this.#received.length >= MAX_REQUEST_BYTES) {
      this.#isAnswering = true;
      this.#socket.end(lineOf(errorReply(tooLong)), () => {
        this.end();
      });
    } else if (this.#isOver) {
      this.#socket.end();
    }
  }

  async #serve(line: string): Promise<void> {
    this.#isAnswering = true;
    this.#socket.pause();
    this.#began();
    const reply = lineOf(await this.#host.answer(line));
    this.#began();
    this.#socket.write(reply, (error) => {
      if (error !== null && error !== undefined) return;
      setTimeout(() => {
        if (this.#socket.destroyed) return;
        this.#isAnswering = false;
        this.#began();
        this.#socket.resume();
        this.#next();
      }, PAUSE_MS);
    });
  }

  #began(): void {
    if (this.#socket.destroyed) return;
    this.#host.began();
    this.#wait();
  }
}

const lineOf = (reply: ControlReply): string => `${JSON.stringify(reply)}\n`;
