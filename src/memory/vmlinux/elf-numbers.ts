// Numbers and sizes from elf(5), ELF64 in little-endian order.

export const BYTES = { header: 64, programHeader: 56, sectionHeader: 64, symbol: 24 } as const;
export const ET_EXEC = 2;
export const EM_X86_64 = 62;
export const PT_LOAD = 1;
export const PF = { EXEC: 1, WRITE: 2, READ: 4 } as const;
export const SHT = { PROGBITS: 1, SYMTAB: 2, STRTAB: 3, NOTE: 7, NOBITS: 8 } as const;
export const SHF = { WRITE: 1, ALLOC: 2, EXEC: 4 } as const;
export const SHN_ABS = 0xfff1;
export const STT = { NOTYPE: 0, OBJECT: 1, FUNC: 2 } as const;
export const STB = { LOCAL: 0, GLOBAL: 1, WEAK: 2 } as const;
