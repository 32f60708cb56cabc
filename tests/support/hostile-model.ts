// A model whose every text is an attack on a page that shows it.

import { operation, port, writeProgram } from "./program-models.ts";

/** Sets `window.attacked` wherever it becomes markup or code. */
export const attack = `"'><img src=x onerror="attacked=1"><script>attacked=1</script>{{attacked=1}}`;

/** y = x over float32 [2]; its texts are the attack. */
export function writeHostileModel(path: string): string {
  const [x, y] = [port("x", "float32", [2]), port(attack, "float32", [2])];
  return writeProgram(path, {
    inputs: [x],
    outputs: [y],
    operations: [operation("relu", { x: "x" }, y)],
    metadata: { shortDescription: attack, author: attack, license: attack },
  });
}
