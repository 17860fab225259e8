import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { writeNew } from "../../memory/output-file.js";
import { writeOutput } from "./write-output.js";

function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "write-output-"));
  onTestFinished(() => {
    rmSync(folder, { recursive: true });
  });
  return folder;
}

test.each(["SIGINT", "SIGTERM"] as const)(
  "%s while a file is written leaves nothing of it, nor a listener",
  async (name) => {
    const folder = temporaryFolder();
    const path = join(folder, "file");
    const listeners = process.listenerCount(name);
    const written = writeOutput(path, (stop) =>
      writeNew(
        path,
        async (file) => {
          file.write(0, Buffer.from("a part"));
          process.emit(name);
          await file.pause();
        },
        stop,
      ),
    );
    await expect(written).rejects.toThrow(`stopped: ${path} was not written`);
    expect(readdirSync(folder)).toEqual([]);
    expect(process.listenerCount(name)).toBe(listeners);
  },
);

test("a file that is there already, and a folder that isn't, are said in a line", async () => {
  const folder = temporaryFolder();
  const path = join(folder, "file");
  const write = (to: string) =>
    writeOutput(to, (stop) => writeNew(to, () => Promise.resolve(), stop));
  await write(path);
  await expect(write(path)).rejects.toThrow(`${path} is there already: name a new file`);
  const nowhere = join(folder, "none", "file");
  await expect(write(nowhere)).rejects.toThrow(
    `${nowhere} can't be written: no such file or directory`,
  );
});

test("what isn't the file's fault is thrown as it is", async () => {
  const fault = new TypeError("a fault of ours");
  await expect(writeOutput("core", () => Promise.reject(fault))).rejects.toBe(fault);
});
