import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import * as wire from "../../src/device/wire.js";
import { compileC } from "../../vm/build.js";
import { checkout } from "../../vm/paths.js";
import { describeGuests, temporaryFolder } from "./support.js";

const headers = join(checkout, "guest", "include", "uapi");

const structs = {
  virtio_pstore_req: { fields: wire.REQUEST, bytes: wire.REQUEST_BYTES },
  virtio_pstore_res: { fields: wire.RESPONSE, bytes: wire.RESPONSE_BYTES },
  virtio_pstore_fileinfo: { fields: wire.FILEINFO, bytes: wire.FILEINFO_BYTES },
  virtio_pstore_config: { fields: wire.CONFIG, bytes: wire.CONFIG_BYTES },
} as const;

/** Every constant of the header, and what it is in TypeScript. */
const constants: Readonly<Record<string, number | bigint>> = {
  VIRTIO_ID_PSTORE: wire.VIRTIO_ID_PSTORE,
  VIRTIO_PSTORE_VQ_READ: 0,
  VIRTIO_PSTORE_VQ_WRITE: 1,
  VIRTIO_PSTORE_VQ_COUNT: wire.QUEUE_COUNT - 1,
  VIRTIO_PSTORE_VQ_PANIC: wire.QUEUE_COUNT - 1,
  VIRTIO_PSTORE_F_EXTENDED: Math.log2(Number(wire.F_EXTENDED)),
  VIRTIO_PSTORE_F_PANIC_VQ: Math.log2(Number(wire.F_PANIC_VQ)),
  VIRTIO_PSTORE_BOOT_ID_LEN: wire.BOOT_ID_BYTES,
  ...prefixed("VIRTIO_PSTORE_CMD_", wire.Command),
  ...prefixed("VIRTIO_PSTORE_TYPE_", wire.RecordType),
  VIRTIO_PSTORE_FL_COMPRESSED: wire.FLAG_COMPRESSED,
  VIRTIO_PSTORE_CONFIG_FL_CONSOLE: wire.CONFIG_FLAG_CONSOLE,
  VIRTIO_PSTORE_CONFIG_MAGIC: wire.CONFIG_MAGIC,
};

function prefixed(prefix: string, values: Readonly<Record<string, number>>) {
  return Object.fromEntries(
    Object.entries(values).map(([name, value]) => [`${prefix}${name}`, value]),
  );
}

/** What the C compiler makes of the header: expressions and their values, none of which is negative. */
async function compiled(expressions: readonly string[]): Promise<Record<string, bigint>> {
  const folder = temporaryFolder();
  const source = join(folder, "uapi.c");
  const prints = expressions.map(
    (text) => `\tprintf("%s=%llu\\n", "${text}", (unsigned long long)(${text}));`,
  );
  writeFileSync(
    source,
    [
      "#include <stddef.h>",
      "#include <stdio.h>",
      "#include <linux/virtio_pstore.h>",
      "int main(void)",
      "{",
      ...prints,
      "\treturn 0;",
      "}",
      "",
    ].join("\n"),
  );
  const program = join(folder, "uapi");
  await compileC(source, program, ["-Werror"], [headers]);
  const { status, stdout } = spawnSync(program, { encoding: "utf8" });
  expect(status).toBe(0);
  return Object.fromEntries(
    stdout
      .trimEnd()
      .split("\n")
      .map((line) => {
        const at = line.lastIndexOf("=");
        return [line.slice(0, at), BigInt(line.slice(at + 1))];
      }),
  );
}

describeGuests("guest/include/uapi/linux/virtio_pstore.h and src/device/wire.ts", () => {
  test("sizes, offsets and constants are the same in C and in TypeScript", async () => {
    const expected: Record<string, number | bigint> = { ...constants };
    for (const [struct, { fields, bytes }] of Object.entries(structs)) {
      expected[`sizeof(struct ${struct})`] = bytes;
      for (const [field, offset] of Object.entries(fields)) {
        expected[`offsetof(struct ${struct}, ${field})`] = offset;
      }
    }
    const values = Object.entries(expected).map(([name, value]) => [name, BigInt(value)]);
    expect(await compiled(Object.keys(expected))).toEqual(Object.fromEntries(values));
  });

  test("nothing of the header is missing in TypeScript", () => {
    const header = readFileSync(join(headers, "linux", "virtio_pstore.h"), "utf8");
    const defined = [...header.matchAll(/^#define\s+(VIRTIO_\w+)/gm)].map(([, name]) => name);
    expect(defined.sort()).toEqual(Object.keys(constants).sort());
    const fields = [...header.matchAll(/^struct (\w+) \{(.*?)^\};/gms)].map(([, name, body]) => [
      name,
      [...(body ?? "").matchAll(/^\s+__(?:le\d+|u8)\s+(\w+)(?:\[\w+\])?;/gm)].map(
        ([, field]) => field,
      ),
    ]);
    expect(Object.fromEntries(fields)).toEqual(
      Object.fromEntries(
        Object.entries(structs).map(([name, struct]) => [name, Object.keys(struct.fields)]),
      ),
    );
  });
});
