// The checks that keep the Swift side to Apple's API: each finds the one thing that was changed.

import { describe, expect, test } from "bun:test";
import { nameOf, parseApiTable } from "../../../scripts/swift/api-table.ts";
import { checkApi } from "../../../scripts/swift/api-check.ts";
import { checkAvailability } from "../../../scripts/swift/availability.ts";
import { readDeclarations } from "../../../scripts/swift/declarations.ts";
import { readApiTable, readSources } from "../../../scripts/swift/files.ts";
import { blankSwift } from "../../../scripts/swift/source.ts";

const rows = readApiTable();
const bridge = readSources("swift/Bridge/*.swift");
const sources = {
  bridge,
  standIn: readSources("swift/StandIn/*/*.swift"),
  objectiveC: readSources("swift/StandIn/ObjC/CoreML/*.h"),
};

function changed(files: ReadonlyMap<string, string>, path: string, from: string, to: string) {
  const source = files.get(path);
  if (!source?.includes(from)) throw new Error(`${path} has no "${from}"`);
  return new Map(files).set(
    path,
    source.replace(from, () => to),
  );
}

describe("availability", () => {
  const withoutGuard = (path: string, from: string, to: string) =>
    checkAvailability(rows, changed(bridge, path, from, to));

  test("the library guards everything that is newer than macOS 14.0", () => {
    expect(checkAvailability(rows, bridge)).toEqual([]);
  });

  test("a missing guard for 14.4 is found", () => {
    const problems = withoutGuard(
      "swift/Bridge/Models.swift",
      "    if #available(macOS 14.4, *), isAllowed(14.4) {\n      var hints",
      "    if true {\n      var hints",
    );
    expect(problems).toEqual(
      [
        expect.stringMatching(
          /Models\.swift:\d+: optimizationHints needs macOS 14\.4, here it may be 14\.0$/,
        ),
        expect.stringMatching(
          /Models\.swift:\d+: MLOptimizationHints needs macOS 14\.4, here it may be 14\.0$/,
        ),
      ].toSorted((a, b) => String(a).localeCompare(String(b))),
    );
  });

  test("a missing guard for 15 is found", () => {
    const problems = withoutGuard(
      "swift/Bridge/Models.swift",
      "guard #available(macOS 15.0, *), isAllowed(15.0) else",
      "guard isAllowed(15.0) else",
    );
    expect(problems).toEqual([
      expect.stringMatching(/Models\.swift:\d+: functionName needs macOS 15\.0, here it may be 14\.0$/),
    ]);
  });

  test("a missing guard for 26 is found", () => {
    const problems = withoutGuard(
      "swift/Bridge/Elements.swift",
      "      if #available(macOS 26.0, *), isAllowed(26.0) { return .signedByte }",
      "      return .signedByte",
    );
    expect(problems).toEqual([
      expect.stringMatching(/Elements\.swift:\d+: signedByte needs macOS 26\.0, here it may be 14\.0$/),
    ]);
  });

  test("a guard for an older system than the API needs is found", () => {
    const problems = withoutGuard(
      "swift/Bridge/Description.swift",
      "if #available(macOS 15.0, *), isAllowed(15.0), let constraint",
      "if #available(macOS 14.4, *), isAllowed(14.4), let constraint",
    );
    expect(problems).toEqual([
      expect.stringMatching(
        /Description\.swift:\d+: stateConstraint needs macOS 15\.0, here it may be 14\.4$/,
      ),
    ]);
  });

  test("the else of a guard, and what follows its block, are not guarded", () => {
    const source = `
      func a(_ c: MLModelConfiguration) {
        if #available(macOS 15.0, *), isAllowed(15.0) { c.functionName = "x" } else { c.functionName = "y" }
        c.functionName = "z"
      }
      func b(_ c: MLModelConfiguration) {
        guard #available(macOS 15.0, *), isAllowed(15.0) else { c.functionName = "x"; return }
        c.functionName = "y"
      }
      func d(_ c: MLModelConfiguration) { c.functionName = "x" }
      @available(macOS 15.0, *) func e(_ c: MLModelConfiguration) { c.functionName = "x" }`;
    expect(checkAvailability(rows, new Map([["x.swift", source]]))).toEqual(
      [3, 4, 7, 10].map((line) => `x.swift:${line}: functionName needs macOS 15.0, here it may be 14.0`),
    );
  });

  test("what tests pretend must be what #available says", () => {
    const source = "if #available(macOS 15.0, *), isAllowed(14.4) {}\nif #available(macOS 15.0, *) {}";
    expect(checkAvailability(rows, new Map([["x.swift", source]]))).toEqual([
      "x.swift:1: #available(macOS 15.0, *) without isAllowed(15.0)",
      "x.swift:2: #available(macOS 15.0, *) without isAllowed(15.0)",
    ]);
  });
});

describe("Apple's API", () => {
  const inStandIn = (path: string, from: string, to: string) =>
    checkApi(rows, { ...sources, standIn: changed(sources.standIn, path, from, to) });
  const inBridge = (from: string, to: string) =>
    checkApi(rows, { ...sources, bridge: changed(bridge, "swift/Bridge/Device.swift", from, to) });

  test("stand-ins, table and library agree", () => {
    expect(checkApi(rows, sources)).toEqual([]);
  });

  test("another type of a property is found", () => {
    expect(
      inStandIn(
        "swift/StandIn/CoreML/Features.swift",
        "public let doubleValue: Double",
        "public let doubleValue: Float",
      ),
    ).toEqual([
      'swift/StandIn/CoreML/Features.swift: CoreML MLFeatureValue.doubleValue is "var doubleValue: Float", Apple\'s is "var doubleValue: Double"',
      "apple-api.txt: no stand-in declares CoreML MLFeatureValue.doubleValue | var doubleValue: Double",
    ]);
  });

  test("another label or a method that Apple does not have is found", () => {
    expect(
      inStandIn("swift/StandIn/CoreML/Features.swift", "public init(array: [", "public init(all array: ["),
    ).toHaveLength(2);
    expect(
      inStandIn(
        "swift/StandIn/CoreML/Features.swift",
        "public let array: [any MLFeatureProvider]",
        "public let array: [any MLFeatureProvider]\n  public func shuffle() {}",
      ),
    ).toEqual([
      'swift/StandIn/CoreML/Features.swift: CoreML MLArrayBatchProvider.shuffle is "func shuffle()", Apple\'s is not in the table',
    ]);
  });

  test("another number of an NS_ENUM is found", () => {
    expect(
      inStandIn(
        "swift/StandIn/CoreML/Configuration.swift",
        "MLComputeUnits(rawValue: 2)!",
        "MLComputeUnits(rawValue: 4)!",
      ),
    ).toHaveLength(2);
  });

  test("another availability is found", () => {
    expect(
      inStandIn(
        "swift/StandIn/CoreML/Configuration.swift",
        "@available(macOS 15.0, *)\n  public var functionName",
        "@available(macOS 14.4, *)\n  public var functionName",
      ),
    ).toEqual([
      "swift/StandIn/CoreML/Configuration.swift: MLModelConfiguration.functionName is there since 14.4, Apple's since 15.0",
    ]);
  });

  test("another selector of a method that try.m sends is found", () => {
    const objectiveC = changed(
      sources.objectiveC,
      "swift/StandIn/ObjC/CoreML/CoreML.h",
      "usingState:(MLState *)state options:(MLPredictionOptions *)options error",
      "withState:(MLState *)state options:(MLPredictionOptions *)options error",
    );
    expect(checkApi(rows, { ...sources, objectiveC })).toEqual([
      "swift/StandIn/ObjC/CoreML/CoreML.h: -[MLModel.predictionFromFeatures:withState:options:error:] is not in the table",
      "apple-api.txt: no header declares -[MLModel.predictionFromFeatures:usingState:options:error:]",
    ]);
  });

  test("an API outside the table is found, also where Linux does not compile it", () => {
    expect(inBridge("import IOKit.ps", "import IOKit.ps\n  let tensor = MLTensor.self")).toEqual([
      expect.stringMatching(/Device\.swift:\d+: MLTensor is not in the table of Apple's API$/),
    ]);
    expect(inBridge("import Metal", "import Metal\nimport Accelerate")).toEqual([
      expect.stringMatching(/Device\.swift:\d+: the library may not import Accelerate$/),
    ]);
    expect(inBridge("import Metal", "import Metal\nlet counters = StandInML.self")).toEqual([
      expect.stringMatching(/Device\.swift:\d+: the library may not know StandInML$/),
    ]);
  });
});

describe("reading Swift", () => {
  test("comments and strings are blank, offsets stay, code inside strings remains", () => {
    const source = 'let a = "x // \\(f("}")) y" // "z"\n/* { */ let b = """\n  }\n  """';
    const blank = blankSwift(source);
    expect(blank).toHaveLength(source.length);
    expect(blank.replaceAll(" ", "")).toBe('leta="f("")"\nletb="""\n\n"""');
  });

  test("declarations are those that another module sees", () => {
    const source = `
      @available(macOS 15.0, *)
      public final class A: NSObject {
        public let x: Int
        let hidden = 1
        public init(x: Int) { self.x = x }
        public enum B: Int { case one, two
          private var three: Int { 3 } }
        public struct StandInThing { public var y: Int }
      }
      public func f(
        _ a: Int,
        b: String = "c"
      ) -> Int { 0 }
      protocol P { var z: Int { get } }`;
    expect(readDeclarations(source)).toEqual([
      { path: "A", declaration: "class A: NSObject", since: "15.0" },
      { path: "A.x", declaration: "var x: Int", since: "15.0" },
      { path: "A.init", declaration: "init(x: Int)", since: "15.0" },
      { path: "A.B", declaration: "enum B: Int", since: "15.0" },
      { path: "A.B.one", declaration: "case one, two", since: "15.0" },
      { path: "f", declaration: 'func f( _ a: Int, b: String = " " ) -> Int', since: undefined },
    ]);
  });

  test("a table with a line that is no row names that line", () => {
    expect(() => parseApiTable("# fine\n15.0 CoreML MLState class")).toThrow("apple-api.txt:2");
    const [row] = parseApiTable("15.0 CoreML MLModel.x | var x: Int");
    expect(row && nameOf(row)).toBe("x");
  });
});
