export type { JournalEntry } from "./journal-entry.js";
export { type Evidence, recover } from "./recovery.js";
export { MAX_UNDER_WAY, QUEUE_COUNT, RequestJournal, type Walk } from "./request-journal.js";
