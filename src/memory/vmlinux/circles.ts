import { type Btf, Kind } from "../kernel/btf.js";

const NEW = 0;
const OPEN = 1;
const DONE = 2;

/**
 * The types that hold themselves, which none can: a structure in itself, or a typedef of itself. A debugger might
 * follow them without an end. @returns for each of the BTF's own ids, counted from its first, 1 where it is the one that leads back.
 */
export function typesInCircles(btf: Btf): Uint8Array {
  const { firstId } = btf;
  const count = btf.endId - firstId;
  const state = new Uint8Array(count);
  const leadsBack = new Uint8Array(count);
  for (let first = 0; first < count; first++) {
    if (state[first] !== NEW) continue;
    const open = [{ type: first, held: heldBy(btf, firstId + first), next: 0 }];
    state[first] = OPEN;
    for (let top = open.at(-1); top !== undefined; top = open.at(-1)) {
      const id = top.held[top.next++];
      if (id === undefined) {
        state[top.type] = DONE;
        open.pop();
        continue;
      }
      const type = id - firstId;
      if (state[type] === OPEN) leadsBack[top.type] = 1;
      if (state[type] !== NEW) continue;
      state[type] = OPEN;
      open.push({ type, held: heldBy(btf, id), next: 0 });
    }
  }
  return leadsBack;
}

/** What a type holds, not only points to; what it names, too. */
function heldBy(btf: Btf, id: number): readonly number[] {
  switch (btf.kind(id)) {
    case Kind.TYPEDEF:
    case Kind.VOLATILE:
    case Kind.CONST:
    case Kind.RESTRICT:
    case Kind.TYPE_TAG:
      return [btf.sizeOrType(id)];
    case Kind.ARRAY:
      return [btf.array(id).type];
    case Kind.STRUCT:
    case Kind.UNION:
      return btf.members(id).map(({ type }) => type);
    default:
      return [];
  }
}
