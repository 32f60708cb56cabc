// How a compute plan looks on a terminal.

import type { ComputePlan } from "../engines/compute-plan.ts";
import { type Paint, plainLine, table } from "./output.ts";

const mostRows = 20;

export function describePlan(plan: ComputePlan, paint: Paint): string {
  const { device, dispatched, constants, unknown, dispatch, devices, notOnAne } = plan;
  const title = `${paint("bold", "compute plan")} for ${device}: a forecast by Core ML, not a measurement`;
  const counts = `  ${dispatched} operations, ${constants} constants beside them`;
  if (dispatch === "not measured") {
    const why = `  ${paint("yellow", "not measured")}: Core ML says nothing of ${unknown} of ${dispatched} operations`;
    return [title, counts, why].join("\n");
  }
  const shares = Object.entries(devices).map(
    ([name, { preferred, preferredShare, costShare, supported }]) => [
      `  ${name}`,
      String(preferred),
      percent(preferredShare),
      percent(costShare),
      String(supported),
    ],
  );
  if (unknown > 0) shares.push(["  unknown", String(unknown), percent(unknown / dispatched), "", ""]);
  const header = ["  device", "preferred", "share", "of the cost", "supported"].map((cell) =>
    paint("dim", cell),
  );
  const lines = [title, counts, table([header, ...shares], { right: [1, 2, 3, 4] })];
  if (notOnAne.length === 0) return lines.join("\n");
  const rows = notOnAne
    .slice(0, mostRows)
    .map(({ op, count, costShare, reason }) => [
      `  ${plainLine(op)}`,
      String(count),
      percent(costShare),
      reason,
    ]);
  lines.push(paint("bold", "not on the Neural Engine"), table(rows, { right: [1, 2] }));
  if (notOnAne.length > mostRows)
    lines.push(`  and ${notOnAne.length - mostRows} more kinds: --json lists all`);
  return lines.join("\n");
}

function percent(share: number | undefined): string {
  return share === undefined ? "-" : `${(share * 100).toFixed(1)} %`;
}
