// The entry point of a sync thread.
import { workerData } from "node:worker_threads";
import { type SyncPort, serveCommits } from "./sync-port.js";

serveCommits(workerData as SyncPort);
