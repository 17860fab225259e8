import { expect, test } from "vitest";
import { areInterruptsOn, isUserMode } from "../registers.js";
import { parseRegisters } from "./qemu-registers.js";

const CPU = (number: number, flags: string, cs: string, halted: number) => `
CPU#${number}\r
RAX=000000000000000a RBX=0000000000000000 RCX=0000000000000001 RDX=4000000000000000\r
RSI=0000000000000083 RDI=000000000000000d RBP=ffffffff82a1aa40 RSP=ffffffff82a03e98\r
R8 =0000000000000000 R9 =0000000000000007 R10=00000000fffffffb R11=0000000000000001\r
R12=0000000000000000 R13=0000000000000013 R14=0000000000000000 R15=0000000000000000\r
RIP=ffffffff81a17a0b RFL=${flags} [----A--] CPL=0 II=0 A20=1 SMM=0 HLT=${halted}\r
ES =0000 0000000000000000 00000000 00000000\r
CS =${cs} 0000000000000000 ffffffff 00af9b00 DPL=0 CS64 [-RA]\r
SS =0018 0000000000000000 ffffffff 00cf9300 DPL=0 DS   [-WA]\r
DS =0000 0000000000000000 00000000 00000000\r
FS =0000 00007f0000000000 00000000 00000000\r
GS =0000 ffff88801f000000 00000000 00000000\r
LDT=0000 0000000000000000 00000000 00008200 DPL=0 LDT\r
`;

test("each CPU's registers are read from what QEMU's monitor answers", () => {
  const cpus = parseRegisters(
    `\r${CPU(0, "00000212", "0010", 1)}\r${CPU(1, "00000046", "0033", 0)}`,
  );
  expect([...cpus.keys()]).toEqual([0, 1]);
  const [first, second] = [cpus.get(0), cpus.get(1)];
  expect(first).toEqual({
    registers: {
      ...{ ip: 0xffffffff81a17a0bn, sp: 0xffffffff82a03e98n, bp: 0xffffffff82a1aa40n },
      ...{ flags: 0x212n, cs: 0x10n, ax: 10n, dx: 0x4000000000000000n, di: 13n },
      ...{ bx: 0n, cx: 1n, si: 0x83n, r8: 0n, r9: 7n, r10: 0xfffffffbn, r11: 1n },
      ...{ r12: 0n, r13: 0x13n, r14: 0n, r15: 0n, ss: 0x18n, ds: 0n, es: 0n, fs: 0n, gs: 0n },
      ...{ fs_base: 0x7f0000000000n, gs_base: 0xffff88801f000000n },
      orig_ax: 0xffffffffffffffffn,
    },
    isHalted: true,
  });
  expect(first && [areInterruptsOn(first.registers), isUserMode(first.registers)]).toEqual([
    true,
    false,
  ]);
  expect(second && [areInterruptsOn(second.registers), isUserMode(second.registers)]).toEqual([
    false,
    true,
  ]);
});

test("a CPU whose registers aren't all there is left out", () => {
  const text = CPU(0, "00000212", "0010", 1).replace("RSP", "ESP") + CPU(7, "00000212", "0010", 0);
  expect([...parseRegisters(text).keys()]).toEqual([7]);
  expect(parseRegisters("unknown command").size).toBe(0);
});
