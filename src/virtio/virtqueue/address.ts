declare const guest: unique symbol;
declare const user: unique symbol;

/** A guest-physical address: what descriptors hold. */
export type GuestAddress = bigint & { readonly [guest]: true };

/** An address in the front-end's own address space: what SET_VRING_ADDR holds. */
export type UserAddress = bigint & { readonly [user]: true };

/** Names a number from the wire as a guest-physical address. */
export const guestAddress = (value: bigint): GuestAddress => value as GuestAddress;

/** Names a number from the wire as an address of the front-end. */
export const userAddress = (value: bigint): UserAddress => value as UserAddress;
