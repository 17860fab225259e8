/** A line of our own in a guest's text: what is missing of it is said where it is missing. */
export const note = (text: string): Buffer => Buffer.from(`[virtio-pstore: ${text}]\n`);
