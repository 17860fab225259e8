/** Bytes of a GUID. */
export const GUID_BYTES = 16;

/**
 * A GUID as text, as in `75a574e3-5052-4b29-8a8e-be2c6490b89d`: its first three fields are little-endian
 * (UEFI 2.10, appendix A).
 */
export function formatGuid(bytes: Uint8Array): string {
  const hex = (indexes: readonly number[]) =>
    indexes.map((i) => (bytes[i] ?? 0).toString(16).padStart(2, "0")).join("");
  return [
    hex([3, 2, 1, 0]),
    hex([5, 4]),
    hex([7, 6]),
    hex([8, 9]),
    hex([10, 11, 12, 13, 14, 15]),
  ].join("-");
}

/** pstore's creator id (Linux, drivers/acpi/apei/erst.c). */
export const CREATOR_PSTORE = "75a574e3-5052-4b29-8a8e-be2c6490b89d";

/** Sections of pstore's records: a part of a dump, the same compressed, a machine check. */
export const SECTION_DMESG = "c197e04e-d545-4a70-9c17-a5549419eb12";
export const SECTION_DMESG_Z = "4f118707-04dd-4055-b5dd-956d34ddfac6";
export const SECTION_MCE = "fe08ffbe-95e4-4be7-bc73-4096044a38fc";

/** Names of sections that other software writes (UEFI 2.10, appendix N.2.2). */
const SECTION_NAMES = new Map([
  [SECTION_DMESG, "dmesg"],
  [SECTION_DMESG_Z, "dmesg, compressed"],
  [SECTION_MCE, "machine check"],
  ["9876ccad-47b4-4bdb-b65e-16f193c4f3db", "processor, generic"],
  ["dc3ea0b0-a144-4797-b95b-53fa242b6e1d", "processor, x86"],
  ["e429faf1-3cb7-11d4-bca7-0080c73c8881", "processor, IPF"],
  ["e19e3d16-bc11-11e4-9caa-c2051d5d46b0", "processor, ARM"],
  ["a5bc1114-6f64-4ede-b863-3e83ed7c83b1", "memory"],
  ["61ec04fc-48e6-d813-25c9-8daa44750b12", "memory 2"],
  ["d995e954-bbc1-430f-ad91-b44dcb3c6f35", "PCI Express"],
  ["c5753963-3b84-4095-bf78-eddad3f9c9dd", "PCI/PCI-X bus"],
  ["eb5e4685-ca66-4769-b6a2-26068b001326", "PCI component"],
  ["81212a96-09ed-4996-9471-8d729c8e69ed", "firmware error record"],
  ["5b51fef7-c79d-4434-8f1b-aa62de3e2c64", "DMA remapping, generic"],
  ["71761d37-32b2-45cd-a7d0-b0fedd93e8cf", "DMA remapping, VT-d"],
  ["036f84e1-7f37-428c-a79e-575fdfaa84ec", "DMA remapping, IOMMU"],
]);

/** What a section of this type holds, in a few words; the GUID where it isn't known. */
export function sectionName(type: string): string {
  return SECTION_NAMES.get(type) ?? type;
}
