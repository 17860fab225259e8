import { type Btf, type Kernel, Kind } from "../kernel/index.js";
import type { Variable } from "./dwarf.js";
import { linkedAddress } from "./sections.js";

/**
 * BTF tells the types of per-CPU variables only. These are others that drgn's helpers and crash ask for, as the
 * kernel's source declares them; those that a kernel lacks are left out.
 */
const DECLARED: readonly (readonly [name: string, declaration: string])[] = [
  ["init_task", "task_struct"],
  ["init_mm", "mm_struct"],
  ["init_fs", "fs_struct"],
  ["init_cred", "cred"],
  ["init_nsproxy", "nsproxy"],
  ["init_pid_ns", "pid_namespace"],
  ["init_uts_ns", "uts_namespace"],
  ["init_user_ns", "user_namespace"],
  ["init_time_ns", "time_namespace"],
  ["init_net", "net"],
  ["net_namespace_list", "list_head"],
  ["prb", "printk_ringbuffer *"],
  ["modules", "list_head"],
  ["mod_tree", "mod_tree_root"],
  ["slab_caches", "list_head"],
  ["slab_kset", "kset *"],
  ["super_blocks", "list_head"],
  ["workqueues", "list_head"],
  ["cgrp_dfl_root", "cgroup_root"],
  ["block_class", "class"],
  ["class_kset", "kset *"],
  ["uidhash_table", "hlist_head []"],
  ["root_task_group", "task_group"],
  ["task_state_array", "char *[]"],
  ["avenrun", "long unsigned int []"],
  ["prog_idr", "idr"],
  ["map_idr", "idr"],
  ["link_idr", "idr"],
  ["btf_idr", "idr"],
  ["node_data", "pglist_data *[]"],
  ["mem_section", "mem_section **"],
  ["contig_page_data", "pglist_data"],
  ["node_states", "nodemask_t []"],
  ["vmap_area_list", "list_head"],
  ["vmap_area_root", "rb_root"],
  ["vmap_nodes", "vmap_node *"],
  ["nr_vmap_nodes", "int"],
  ["vmap_zone_size", "long unsigned int"],
  ["_totalram_pages", "atomic_long_t"],
  ["min_low_pfn", "long unsigned int"],
  ["max_low_pfn", "long unsigned int"],
  ["max_pfn", "long unsigned int"],
  ["page_offset_base", "long unsigned int"],
  ["vmalloc_base", "long unsigned int"],
  ["vmemmap_base", "long unsigned int"],
  ["phys_base", "long unsigned int"],
  ["__per_cpu_offset", "long unsigned int []"],
  ["__cpu_possible_mask", "cpumask"],
  ["__cpu_present_mask", "cpumask"],
  ["__cpu_online_mask", "cpumask"],
  ["nr_cpu_ids", "unsigned int"],
  ["jiffies", "long unsigned int"],
  ["jiffies_64", "long long unsigned int"],
  ["saved_command_line", "char *"],
  ["linux_banner", "char []"],
  ["mt_slots", "unsigned char []"],
  ["mt_pivots", "unsigned char []"],
  ["panic_cpu", "atomic_t"],
];

const POINTER_BYTES = 8;
/** __per_cpu_offset has 64 KiB. */
const MAX_ARRAY_BYTES = 1 << 20;

/** No symbol's name is longer. */
const MAX_SYMBOL_BYTES = 512;

/** What looking for a variable or a type costs, in units of the budget. */
const WORK_PER_NAME = 50;
/** A variable is looked for among all symbols: so many of them cost one unit. */
const SYMBOLS_PER_WORK = 4000;

/**
 * The variables that have a type and a place, at the addresses that they are linked for. Those that are too much are
 * left out, with a note.
 */
export function variablesOf(kernel: Kernel, vmlinux: Btf): Variable[] {
  const found = new Map<string, Variable>();
  const symbols = kernel.symbols?.vmlinux;
  const add = (name: string, type: number, pointers: number, isArray: boolean): void => {
    kernel.budget.spend(WORK_PER_NAME + (symbols?.count ?? 0) / SYMBOLS_PER_WORK);
    if (found.has(name) || name.length > MAX_SYMBOL_BYTES) return;
    const address = symbols?.address(name);
    if (address === undefined) return;
    const size = pointers > 0 ? undefined : vmlinux.size(type);
    const length = isArray ? arrayLength(kernel, name, address, size) : undefined;
    found.set(name, { name, address: linkedAddress(address, kernel), type, pointers, length });
  };
  const sizedType = (name: string): number | undefined => {
    for (const id of vmlinux.named(name)) {
      kernel.budget.spend(WORK_PER_NAME);
      if (vmlinux.size(id) > 0) return id;
    }
    return undefined;
  };
  kernel.attempt("variables", () => {
    for (const [name, declaration] of DECLARED) {
      const type = sizedType(declaration.replace(/[ *[\]]+$/, ""));
      if (type === undefined) continue;
      add(name, type, declaration.split("*").length - 1, declaration.includes("["));
    }
    for (let id = vmlinux.firstId; id < vmlinux.endId; id++) {
      if (vmlinux.kind(id) === Kind.VAR) add(vmlinux.name(id), vmlinux.sizeOrType(id), 0, false);
    }
  });
  return [...found.values()];
}

/**
 * How many elements fit in up to the next symbol; of pointers, whose size isn't said, those before the first NULL. 0 is
 * an array without a known end.
 */
function arrayLength(
  kernel: Kernel,
  name: string,
  address: bigint,
  elementBytes: number | undefined,
): number {
  const room = kernel.symbols?.at(address)?.size ?? 0;
  const one = Math.max(elementBytes ?? POINTER_BYTES, 1);
  const most = Math.floor(Math.min(room, MAX_ARRAY_BYTES) / one);
  if (elementBytes !== undefined) return most;
  const bytes = kernel.attempt(name, () => kernel.read(address, most * POINTER_BYTES));
  if (bytes === undefined) return 0;
  for (let i = 0; i < most; i++) if (bytes.readBigUInt64LE(i * POINTER_BYTES) === 0n) return i;
  return most;
}
