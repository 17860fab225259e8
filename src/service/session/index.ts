export { createSession, PersistentSession, type SessionDescriptors } from "./persistent-session.js";
export { isReadable } from "./session-file.js";
