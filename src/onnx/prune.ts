// Leaves out what no result depends on.

import { CoremlxError } from "../core/errors.ts";
import type { Graph } from "./graph.ts";
import type { Attribute, Constant, Node } from "./types.ts";

export interface Pruned {
  /** Of the graph and every subgraph that is left: the nodes worth writing, in execution order. */
  readonly nodes: ReadonlyMap<Graph, readonly Node[]>;
  /** Those that are used, by name. */
  readonly initializers: ReadonlyMap<string, Constant>;
}

export function prune(graph: Graph): Pruned {
  const nodes = new Map<Graph, readonly Node[]>();
  const used = new Set<string>();
  visit(graph, used, nodes, 0);
  const initializers = [...graph.initializers].filter(([name]) => used.has(name));
  return { nodes, initializers: new Map(initializers) };
}

/** Deeper nesting of If and Loop is no model but an attack. */
const maxDepth = 256;

/** Names are unique over all subgraphs, so that one set of used names serves them all. */
function visit(graph: Graph, used: Set<string>, nodes: Map<Graph, readonly Node[]>, depth: number): void {
  if (depth > maxDepth) {
    throw new CoremlxError(
      "UNSUPPORTED",
      `Cannot write the graph: blocks are nested more than ${maxDepth} deep`,
    );
  }
  for (const output of graph.outputs) used.add(output.name);
  const kept: Node[] = [];
  for (const node of graph.nodes.toReversed()) {
    if (!node.outputs.some((name) => used.has(name))) continue;
    kept.push(node);
    for (const name of node.inputs) used.add(name);
    for (const attribute of Object.values(node.attributes)) {
      if (isGraph(attribute)) visit(attribute, used, nodes, depth + 1);
    }
  }
  nodes.set(graph, kept.toReversed());
}

export function isGraph(attribute: Attribute | undefined): attribute is Graph {
  return typeof attribute === "object" && "nodes" in attribute;
}
