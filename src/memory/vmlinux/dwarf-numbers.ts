// Numbers from the DWARF standard, version 4, chapter 7.

export const TAG = {
  array: 0x01,
  enumeration: 0x04,
  parameter: 0x05,
  member: 0x0d,
  pointer: 0x0f,
  unit: 0x11,
  structure: 0x13,
  function: 0x15,
  typedef: 0x16,
  union: 0x17,
  more: 0x18,
  range: 0x21,
  base: 0x24,
  const: 0x26,
  enumerator: 0x28,
  variable: 0x34,
  volatile: 0x35,
  restrict: 0x37,
} as const;

export const AT = {
  location: 0x02,
  name: 0x03,
  byteSize: 0x0b,
  bitSize: 0x0d,
  language: 0x13,
  constValue: 0x1c,
  producer: 0x25,
  prototyped: 0x27,
  count: 0x37,
  memberLocation: 0x38,
  declaration: 0x3c,
  encoding: 0x3e,
  external: 0x3f,
  type: 0x49,
  dataBitOffset: 0x6b,
} as const;

export const FORM = {
  data1: 0x0b,
  sdata: 0x0d,
  strp: 0x0e,
  udata: 0x0f,
  udata64: 0x0f,
  /** DW_FORM_ref_addr: also into another unit. */
  reference: 0x10,
  place: 0x10,
  exprloc: 0x18,
  flagPresent: 0x19,
} as const;

export const LANGUAGE_C99 = 0x0c;

export const ENCODING = {
  bool: 2,
  float: 4,
  signed: 5,
  signedChar: 6,
  unsigned: 7,
  unsignedChar: 8,
} as const;

export const OP = {
  addr: 0x03,
  deref: 0x06,
  consts: 0x11,
  plus: 0x22,
  /** Of the register with number 0: the others follow. */
  breg: 0x70,
} as const;

export const CFA = {
  /** The distance is in the lower six bits. */
  advance: 0x40,
  /** The register's number is in the lower six bits, of this and the next. */
  offset: 0x80,
  restore: 0xc0,
  nop: 0x00,
  advance1: 0x02,
  advance2: 0x03,
  advance4: 0x04,
  undefined: 0x07,
  sameValue: 0x08,
  defCfa: 0x0c,
  defCfaExpression: 0x0f,
  expression: 0x10,
  offsetExtendedSf: 0x11,
} as const;

/** Registers' numbers, by the names of struct pt_regs (System V ABI, x86-64 supplement, 3.6.2). */
export const REGISTER = {
  ...{ ax: 0, dx: 1, cx: 2, bx: 3, si: 4, di: 5, bp: 6, sp: 7 },
  ...{ r8: 8, r9: 9, r10: 10, r11: 11, r12: 12, r13: 13, r14: 14, r15: 15 },
  /** The return address. */
  ip: 16,
} as const;
