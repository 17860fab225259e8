// A process of `npm run bench:neighbours`: one guest that attacks, until it is told to end.
import { ATTACKS, type Stored } from "./attacks.js";

const REPORT_MS = 200;

const [, , name, socket = ""] = process.argv;
const attack = ATTACKS.find((one) => one.name === name);
if (attack === undefined) throw new Error(`there is no attack ${name}`);
const stored: Stored = { records: 0, bytes: 0 };
process.on("SIGTERM", () => {
  process.exit();
});
await attack.run(
  socket,
  () => {
    console.log("begun");
    setInterval(() => {
      console.log(JSON.stringify(stored));
    }, REPORT_MS);
  },
  stored,
);
