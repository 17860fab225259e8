import { describe } from "vitest";
import { type FrontEndMode, setFrontEndMode } from "../support/front-end-mode.js";

/** Runs the tests of what front-ends send, with front-ends of another mode. */
export function testFrontEnds(mode: FrontEndMode): void {
  setFrontEndMode(mode);
  describe("messages", async () => {
    await import("./vhost-user-messages.test.js");
  });
  describe("negotiation", async () => {
    await import("./vhost-user-negotiation.test.js");
  });
  describe("rings", async () => {
    await import("./vhost-user-rings.test.js");
  });
  describe("inflight", async () => {
    await import("./vhost-user-inflight.test.js");
  });
  describe("server", async () => {
    await import("./vhost-user-server.test.js");
  });
  describe("configuration space", async () => {
    await import("./device-config.test.js");
  });
  describe("guest memory", async () => {
    await import("./guest-memory.test.js");
  });
}
