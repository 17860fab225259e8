/** What test/vm/faults makes when it is asked for, as crashes are titled. */
export const faultTitles = {
  null: "BUG: unable to handle kernel NULL pointer dereference in fault_store",
  paging: "BUG: unable to handle kernel paging request in fault_store",
  protection: "general protection fault in fault_store",
  bug: "kernel BUG in fault_bug",
  divide: "divide error in fault_divide",
  warn: "WARNING in fault_warn",
  refcount: "WARNING: refcount bug in fault_refcount",
} as const;

export type FaultName = keyof typeof faultTitles;
