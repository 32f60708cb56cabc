// What two answers may differ by: limits by name, the usual ones, and what a measured difference says of them.

import { CoremlxError } from "../../core/errors.ts";
import { suggest } from "../../core/suggest.ts";
import type { Summary } from "./compare.ts";
import type { ParityCriterion, ParityLimits } from "./schema.ts";

type LimitName = keyof ParityLimits;

interface Rule {
  /** At least, or at most. */
  readonly isLeast: boolean;
  readonly description: string;
  /** `null`: this output has no such figure. */
  readonly read: (summary: Judged) => number | null;
}

export interface Judged extends Summary {
  /** Share of the inputs where the subject is no further from the truth than the reference is. */
  readonly noWorse: number | null;
}

export const limitRules: Readonly<Record<LimitName, Rule>> = {
  abs: { isLeast: false, description: "absolute error", read: ({ maxAbs }) => maxAbs },
  rel: { isLeast: false, description: "relative error", read: ({ maxRel }) => maxRel },
  range: { isLeast: false, description: "error as a share of the range", read: ({ ofRange }) => ofRange },
  ulp16: {
    isLeast: false,
    description: "float16 steps apart",
    read: ({ ulp16 }) => ulp16.at(-1)?.[0] ?? null,
  },
  ulp32: {
    isLeast: false,
    description: "float32 steps apart",
    read: ({ ulp32 }) => ulp32.at(-1)?.[0] ?? null,
  },
  odd: { isLeast: false, description: "NaN or infinity on one side", read: ({ odd }) => odd },
  cosine: { isLeast: true, description: "cosine of the two answers", read: ({ cosine }) => cosine },
  // Without an error there is no ratio, and nothing to object to.
  psnr: {
    isLeast: true,
    description: "PSNR in dB",
    read: ({ psnrDb, maxAbs }) => psnrDb ?? (maxAbs === 0 ? Number.MAX_VALUE : null),
  },
  top1: { isLeast: true, description: "inputs with the same best class", read: ({ topSame }) => topSame },
  topk: { isLeast: true, description: "of the best classes in both", read: ({ topShared }) => topShared },
  equal: { isLeast: true, description: "inputs with equal answers", read: (s) => s.equalInputs / s.inputs },
  noworse: { isLeast: true, description: "inputs no further from the truth", read: ({ noWorse }) => noWorse },
};

/** Both compute in single precision: another order of additions is all. Measured: 1e-4 is kept by every reference network. */
const singleRange = 1e-4;
/** One of them rounds to half precision on the way. */
const halfRange = 2e-2;

export function usualLimits(options: { readonly isHalf: boolean; readonly areWords: boolean }): ParityLimits {
  if (options.areWords) return { equal: 1 };
  return { range: options.isHalf ? halfRange : singleRange, odd: 0 };
}

/** One row for each limit. */
export function judgeOutput(output: string, summary: Judged, limits: ParityLimits): ParityCriterion[] {
  return entriesOf(limits).map(([figure, limit]) => {
    const { isLeast, read } = limitRules[figure];
    const value = read(summary);
    const isMet = value !== null && (isLeast ? value >= limit : value <= limit);
    return {
      output,
      figure,
      limit,
      value,
      status: value === null ? "not measured" : isMet ? "pass" : "fail",
    };
  });
}

/** Room for what a measurement has shown: twice its errors. */
export function limitsFrom(summary: Judged, areWords: boolean): ParityLimits {
  if (areWords) return { equal: summary.equalInputs / summary.inputs };
  const { ofRange, cosine, odd } = summary;
  return {
    range: Number((2 * ofRange).toPrecision(3)),
    odd,
    ...(cosine === null ? {} : { cosine: Math.floor((1 - 2 * (1 - cosine)) * 1e9) / 1e9 }),
  };
}

/** "range=0.01", or "logits:range=0.01" for one output. Throws USAGE. */
export function parseLimit(text: string): {
  readonly output: string | undefined;
  readonly limits: ParityLimits;
} {
  const match = /^(?:(.+):)?([a-z0-9]+)=([^=]+)$/.exec(text);
  const [, output, name = "", number = ""] = match ?? [];
  const value = Number(number);
  if (match === null || !isLimitName(name)) {
    throw new CoremlxError("USAGE", `Cannot read --tolerance "${text}"`, {
      hint: match
        ? suggest(name, Object.keys(limitRules), "The figures are")
        : "Write it like range=0.01, or NAME:range=0.01 for one output",
    });
  }
  if (
    number.trim() === "" ||
    !Number.isFinite(value) ||
    (value < 0 && name !== "psnr" && name !== "cosine")
  ) {
    throw new CoremlxError(
      "USAGE",
      `Cannot read --tolerance "${text}": "${number}" is no number of that kind`,
    );
  }
  return { output, limits: { [name]: value } };
}

function isLimitName(name: string): name is LimitName {
  return Object.hasOwn(limitRules, name);
}

function entriesOf(limits: ParityLimits): [LimitName, number][] {
  return Object.entries(limits).flatMap(([name, value]): [LimitName, number][] =>
    isLimitName(name) && value !== undefined ? [[name, value]] : [],
  );
}
