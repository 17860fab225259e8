import { expect, test } from "vitest";
import { ArgumentError, Server, Session } from "./index.js";

const server = (options: unknown) => new Server(options as never);
const session = (options: unknown) => new Session(options as never);

test.each([
  ["options must be an object, not undefined", () => server(undefined)],
  ["options.loop must be an object, not undefined", () => server({ fd: 3 })],
  [
    "options.fd must be a whole number from 0 to 2147483647, not -1",
    () => server({ loop: {}, fd: -1 }),
  ],
  ["options.createDevice must be a function, not undefined", () => server({ loop: {}, fd: 3 })],
  ["options.connection must be an object, not 7", () => session({ loop: {}, connection: 7 })],
  ["options.device must be an object, not undefined", () => session({ loop: {}, connection: {} })],
  [
    "options.device.negotiated must be a function, not undefined",
    () => session({ loop: {}, connection: {}, device: {} }),
  ],
])("a wrong argument is named: %s", (message, call) => {
  expect(call).toThrow(new ArgumentError(message));
});
