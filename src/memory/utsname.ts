/** struct new_utsname (uname(2)): texts of so many bytes, for system, node, release, version, machine and domain. */
export const UTS_FIELD_BYTES = 65;
export const UTS_FIELDS = 6;
