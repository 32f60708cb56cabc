// Bounds on result files, which may come from anywhere.

/** A result file; that of a week-long soak of many models has some MB. */
export const maxResultBytes = 256_000_000;
