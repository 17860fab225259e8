/**
 * Of what a log is taken to say: what was kept under another revision is read again. families.test.ts
 * computes it from many logs' facts.
 */
export const REVISION = "848d7689e5b87c8b";
