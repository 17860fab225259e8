import type { Kernel, Struct } from "../kernel/index.js";

/** A balanced tree with more levels has more nodes than memory holds. */
const MAX_DEPTH = 128;

/**
 * The structures in a red-black tree, in its order: `root` is the address of its `struct rb_root`, `member` the
 * `struct rb_node` in each. A tree that leads astray, or in a circle, ends with a note.
 */
export function* rbTree(
  kernel: Kernel,
  root: bigint,
  type: string,
  member: string,
): Generator<Struct, void, void> {
  const what = `tree of ${type} at 0x${root.toString(16)}`;
  const offset = BigInt(kernel.expectTypes().expect(type).offset(member));
  const seen = new Set<bigint>();
  const stack: Struct[] = [];
  const readNode = (address: bigint) => kernel.struct("rb_node", address);
  const follow = (read: () => bigint) => kernel.attempt(what, read);
  let next = follow(() => kernel.struct("rb_root", root).pointer("rb_node"));
  for (;;) {
    while (next !== undefined && next !== 0n) {
      if (seen.has(next) || stack.length === MAX_DEPTH) {
        kernel.notes.add(`${what}: it is no tree: ${seen.size} nodes were read`);
        return;
      }
      seen.add(next);
      const node = readNode(next);
      next = follow(() => node.pointer("rb_left"));
      if (next !== undefined) stack.push(node);
    }
    const node = stack.pop();
    if (node === undefined) return;
    yield kernel.struct(type, node.address - offset);
    next = follow(() => node.pointer("rb_right"));
  }
}
