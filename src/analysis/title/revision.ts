/**
 * Of what a log is taken to say: what was kept under another revision is read again. families.test.ts
 * computes it from many logs' facts.
 */
export const REVISION = "8a368651683d0b41";
