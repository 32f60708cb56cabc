// Core ML's forecast of where a model's operations will run: read, and added up. It is a plan; no operation was timed.

import { CoremlxError } from "../core/errors.ts";

export type PlanDevice = "cpu" | "gpu" | "ane" | "other";

export interface PlannedOperation {
  readonly op: string;
  /** Of the operation or of its first result. */
  readonly name: string;
  readonly function: string | undefined;
  readonly isConstant: boolean;
  /** Share of the whole cost, where Core ML estimates one. */
  readonly weight: number | undefined;
  /** `undefined`: Core ML says nothing of it. */
  readonly preferred: PlanDevice | undefined;
  readonly supported: readonly PlanDevice[];
}

export interface DeviceShare {
  readonly preferred: number;
  /** Of all operations that are no constants, the unknown ones included. */
  readonly preferredShare: number;
  /** Of the estimated cost; `undefined` where Core ML estimates none. */
  readonly costShare: number | undefined;
  /** Could run there, wherever it is preferred. */
  readonly supported: number;
}

export interface NotOnAne {
  readonly op: string;
  readonly count: number;
  readonly costShare: number | undefined;
  readonly reason: string;
}

export interface ComputePlan {
  readonly kind: string;
  /** What the model was allowed to use. */
  readonly device: string;
  /** Constants run nowhere, and are counted nowhere else. */
  readonly constants: number;
  readonly dispatched: number;
  /** No constants, and without a device. Counted among the dispatched. */
  readonly unknown: number;
  /** "not measured" where more than 5 % are unknown: then the shares say nothing. */
  readonly dispatch: "planned" | "not measured";
  readonly devices: Readonly<Partial<Record<PlanDevice, DeviceShare>>>;
  /** Most frequent first. */
  readonly notOnAne: readonly NotOnAne[];
  readonly operations: readonly PlannedOperation[];
}

/** Above this share of operations without a device. Models for old systems have none at all. */
const mostUnknown = 0.05;

interface DescribedOperation {
  readonly op: string;
  readonly name?: string;
  readonly function?: string;
  readonly outputs?: readonly string[];
  readonly isConstant: boolean;
  readonly weight?: number;
  readonly preferred?: PlanDevice;
  readonly supported?: readonly PlanDevice[];
}

export interface ReadPlanOptions {
  /** Only this one's operations, where they say which function they belong to. */
  readonly functionName: string;
  readonly device: string;
}

/** The JSON of cmlx_plan_read, see coremlx.h. */
export function readPlan(json: string, { functionName, device }: ReadPlanOptions): ComputePlan {
  const plan = JSON.parse(json) as {
    readonly kind: string;
    readonly operations: readonly DescribedOperation[];
  }; // our own library wrote it
  if (plan.kind === "unsupported")
    throw new CoremlxError("UNSUPPORTED", "Cannot plan the model: Core ML does not tell its structure");
  const all = plan.operations.map(
    ({
      op,
      name,
      outputs = [],
      function: fn,
      isConstant,
      weight,
      preferred,
      supported = [],
    }): PlannedOperation => {
      return { op, name: name ?? outputs[0] ?? "", function: fn, isConstant, weight, preferred, supported };
    },
  );
  const ofFunction = all.filter((operation) => operation.function === functionName);
  return addUp(plan.kind, device, ofFunction.length > 0 ? ofFunction : all);
}

function addUp(kind: string, device: string, operations: readonly PlannedOperation[]): ComputePlan {
  const dispatched = operations.filter(({ isConstant }) => !isConstant);
  const unknown = dispatched.filter(({ preferred }) => preferred === undefined).length;
  const isKnown = dispatched.length > 0 && unknown / dispatched.length <= mostUnknown;
  const cost = costOf(dispatched);
  const devices: Partial<Record<PlanDevice, DeviceShare>> = {};
  for (const each of ["cpu", "gpu", "ane", "other"] as const) {
    const preferring = dispatched.filter(({ preferred }) => preferred === each);
    const supported = dispatched.filter((operation) => operation.supported.includes(each)).length;
    if (preferring.length === 0 && supported === 0) continue;
    devices[each] = {
      preferred: preferring.length,
      preferredShare: preferring.length / dispatched.length,
      costShare: shareOf(costOf(preferring), cost),
      supported,
    };
  }
  return {
    kind,
    device,
    constants: operations.length - dispatched.length,
    dispatched: dispatched.length,
    unknown,
    dispatch: isKnown ? "planned" : "not measured",
    devices,
    notOnAne: listNotOnAne(dispatched, cost),
    operations,
  };
}

/** `undefined` where nothing has a weight. */
function costOf(operations: readonly PlannedOperation[]): number | undefined {
  const weights = operations.flatMap(({ weight }) => (weight === undefined ? [] : [weight]));
  return weights.length === 0 ? undefined : weights.reduce((sum, weight) => sum + weight, 0);
}

function shareOf(part: number | undefined, whole: number | undefined): number | undefined {
  if (whole === undefined || whole === 0) return undefined;
  return (part ?? 0) / whole;
}

function listNotOnAne(
  dispatched: readonly PlannedOperation[],
  cost: number | undefined,
): readonly NotOnAne[] {
  const groups = new Map<string, PlannedOperation[]>();
  for (const operation of dispatched) {
    if (operation.preferred === "ane") continue;
    const key = `${operation.op} ${reasonOf(operation)}`;
    groups.set(key, [...(groups.get(key) ?? []), operation]);
  }
  return [...groups.values()]
    .flatMap((group): NotOnAne[] => {
      const [first] = group;
      if (first === undefined) return [];
      const costShare = shareOf(costOf(group), cost);
      return [{ op: first.op, count: group.length, costShare, reason: reasonOf(first) }];
    })
    .toSorted((a, b) => b.count - a.count || a.op.localeCompare(b.op));
}

function reasonOf({ preferred, supported }: PlannedOperation): string {
  if (preferred === undefined) return "unknown: Core ML says nothing of it";
  if (supported.includes("ane")) return `could run there, ${preferred} is preferred`;
  return "not supported there";
}
