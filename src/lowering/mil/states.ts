// MIL's state ops. A state is a graph input, and a graph output where the program writes it; the host keeps it in between.

import type { Value } from "../../onnx/types.ts";
import { denseDType } from "../arguments.ts";
import type { Op, OpTable } from "../op.ts";

export const states = {
  read_state: (op) => current(op, stateName(op, "input")),

  write_state(op, g) {
    const name = stateName(op, "input");
    write(op, name, g.cast(op.value("data"), denseDType(current(op, name))));
    return [];
  },

  // The dialect's form of both: files hold write_state and read_state instead.
  coreml_update_state(op, g) {
    const name = stateName(op, "state");
    const value = g.cast(op.value("value"), denseDType(current(op, name)));
    write(op, name, value);
    return value;
  },
} satisfies OpTable;

/** The state an op names. Control flow asks too, for the states that its blocks write. */
export function stateName(op: Op, input: string): string {
  const [name] = op.names(input);
  return name ?? op.bad(`input "${input}" is missing`);
}

function current(op: Op, name: string): Value {
  return op.scope.readState(name) ?? op.bad(`"${name}" is not a state`);
}

function write(op: Op, name: string, value: Value): void {
  const before = op.staticShape(current(op, name));
  const after = op.staticShape(value);
  if (before && after && before.join() !== after.join()) {
    op.bad(`state "${name}" has shape [${before.join(", ")}], the value written [${after.join(", ")}]`);
  }
  op.scope.writeState(name, value);
}
