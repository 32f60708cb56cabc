import { describe, expect, test } from "bun:test";
import { crc32, deflateRawSync } from "node:zlib";
import fc from "fast-check";
import { defaultLimits } from "../../../src/codecs/limits.ts";
import { decodeNpz, encodeNpy, encodeNpz } from "../../../src/codecs/npy.ts";
import { f32, tensorOf, type Tensor } from "../../../src/core/tensor.ts";
import {
  allDTypes,
  base64,
  damaged,
  describeError,
  errorOf,
  readFixture,
  tensors,
  toTensor,
  type StoredArray,
} from "../../support/codec-fixtures.ts";

const fixture = await readFixture<{
  arrays: Readonly<Record<string, StoredArray>>;
  stored: string;
  deflated: string;
  dataDescriptors: string;
  others: Readonly<Record<string, string>>;
}>("npz.json");

const expected = new Map(Object.entries(fixture.arrays).map(([name, stored]) => [name, toTensor(stored)]));

interface Member {
  readonly name: string;
  readonly content: Uint8Array;
  readonly packed?: Uint8Array;
  readonly method?: number;
  readonly flags?: number;
  readonly crc?: number;
  readonly byteLength?: number;
  readonly localOffset?: number;
}

/** An archive written byte by byte, with any lie a member asks for; zip64 puts every size and offset into 64-bit fields. */
function archive(members: readonly Member[], { zip64 = false, comment = "" } = {}): Uint8Array {
  const parts: Uint8Array[] = [];
  const central: Uint8Array[] = [];
  let offset = 0;
  for (const member of members) {
    const name = Buffer.from(member.name);
    const packed = member.packed ?? member.content;
    const byteLength = member.byteLength ?? member.content.length;
    const at = member.localOffset ?? offset;
    const local = Buffer.alloc(30);
    local.writeUInt32LE(0x04034b50);
    local.writeUInt16LE(name.length, 26);
    const record = Buffer.alloc(46);
    record.writeUInt32LE(0x02014b50);
    record.writeUInt16LE(member.flags ?? 0, 8);
    record.writeUInt16LE(member.method ?? 0, 10);
    record.writeUInt32LE(member.crc ?? crc32(member.content), 16);
    record.writeUInt32LE(zip64 ? 0xffffffff : packed.length, 20);
    record.writeUInt32LE(zip64 ? 0xffffffff : byteLength, 24);
    record.writeUInt16LE(name.length, 28);
    record.writeUInt16LE(zip64 ? 28 + 4 : 0, 30);
    record.writeUInt32LE(zip64 ? 0xffffffff : at, 42);
    const extra = Buffer.alloc(zip64 ? 32 : 0);
    if (zip64) {
      extra.writeUInt16LE(0x7075, 0); // another field first, of no content
      extra.writeUInt16LE(1, 4);
      extra.writeUInt16LE(24, 6);
      extra.writeBigUInt64LE(BigInt(byteLength), 8);
      extra.writeBigUInt64LE(BigInt(packed.length), 16);
      extra.writeBigUInt64LE(BigInt(at), 24);
    }
    parts.push(local, name, packed);
    central.push(Buffer.concat([record, name, extra]));
    offset += 30 + name.length + packed.length;
  }
  const directory = Buffer.concat(central);
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50);
  end.writeUInt16LE(zip64 ? 0xffff : members.length, 10);
  end.writeUInt32LE(zip64 ? 0xffffffff : directory.length, 12);
  end.writeUInt32LE(zip64 ? 0xffffffff : offset, 16);
  end.writeUInt16LE(comment.length, 20);
  const record64 = Buffer.alloc(zip64 ? 56 + 20 : 0);
  if (zip64) {
    record64.writeUInt32LE(0x06064b50);
    record64.writeBigUInt64LE(BigInt(members.length), 32);
    record64.writeBigUInt64LE(BigInt(directory.length), 40);
    record64.writeBigUInt64LE(BigInt(offset), 48);
    record64.writeUInt32LE(0x07064b50, 56);
    record64.writeBigUInt64LE(BigInt(offset + directory.length), 64);
  }
  return Buffer.concat([...parts, directory, record64, end, Buffer.from(comment)]);
}

const x = f32([1, 2]);
const content = encodeNpy(x);
const member = { name: "x.npy", content };

function messageFor(bytes: Uint8Array, limits = defaultLimits): string {
  return describeError(errorOf(() => decodeNpz(bytes, "a.npz", { limits })));
}

describe("what numpy wrote is read", () => {
  for (const form of ["stored", "deflated", "dataDescriptors"] as const)
    test(form, () => {
      expect(decodeNpz(base64(fixture[form]), "a.npz")).toEqual(expected);
    });
});

test("zip64 fields, comments, folders and names without .npy are read", () => {
  const bytes = archive(
    [{ name: "folder/", content: new Uint8Array(0) }, member, { name: "folder/y", content }],
    {
      zip64: true,
      comment: "by hand",
    },
  );
  expect(decodeNpz(bytes, "a.npz")).toEqual(
    new Map([
      ["x", x],
      ["folder/y", x],
    ]),
  );
});

test("an empty archive holds nothing", () => {
  expect(decodeNpz(encodeNpz(new Map()), "a.npz")).toEqual(new Map());
});

test("only the arrays asked for are read; the others may be anything", () => {
  const bytes = archive([{ name: "bad.npy", content: Uint8Array.of(1, 2, 3) }, member]);
  expect(decodeNpz(bytes, "a.npz", { keys: ["x"] })).toEqual(new Map([["x", x]]));
  expect(messageFor(bytes)).toBe(
    'BAD_INPUT: Cannot read npy "a.npz:bad.npy": it does not begin as an npy file does',
  );
});

test("a missing array is named with those that are there", () => {
  const error = errorOf(() => decodeNpz(archive([member]), "a.npz", { keys: ["y"] }));
  expect(error.message).toBe('Cannot read npz "a.npz": it holds no array called "y"');
  expect(error.hint).toBe('Choose one of "x"');
});

test("a missing array among none, and among many", () => {
  expect(errorOf(() => decodeNpz(archive([]), "a.npz", { keys: ["y"] })).hint).toBe(
    "The file holds no arrays at all",
  );
  const many = Array.from({ length: 22 }, (_, i) => ({ name: `${i}.npy`, content }));
  expect(errorOf(() => decodeNpz(archive(many), "a.npz", { keys: ["y"] })).hint).toEndWith('"19" and 2 more');
});

describe("hostile and damaged archives are refused", () => {
  const zeros = new Uint8Array(1_000_000);
  const bomb = deflateRawSync(zeros);
  const intact = archive([member]);
  const edit = (at: number, value: number): Uint8Array => {
    const copy = Uint8Array.from(intact);
    copy[at < 0 ? copy.length + at : at] = value;
    return copy;
  };
  const damagedDeflate = Uint8Array.of(255, 255, 255);
  const cases: readonly (readonly [string, Uint8Array, string])[] = [
    [
      "no archive",
      new TextEncoder().encode("not a zip file, just some text"),
      "it has no zip directory at its end: it is damaged, or no zip archive",
    ],
    [
      "an empty file",
      new Uint8Array(0),
      "it has no zip directory at its end: it is damaged, or no zip archive",
    ],
    [
      "a cut archive",
      intact.slice(0, -1),
      "it has no zip directory at its end: it is damaged, or no zip archive",
    ],
    [
      "two members of one name",
      archive([member, { ...member, name: "x" }]),
      'it holds two arrays called "x"',
    ],
    [
      "a member that unpacks to more than it says",
      archive([{ ...member, content: zeros, packed: bomb, method: 8, byteLength: 100 }]),
      'its member "x.npy" unpacks to more than 100 bytes',
    ],
    [
      "a member that unpacks to less than it says",
      archive([{ ...member, packed: deflateRawSync(content), method: 8, byteLength: 200 }]),
      'its member "x.npy" unpacks to 136 bytes, not to 200',
    ],
    [
      "a member that says it is enormous",
      archive([{ ...member, packed: bomb, method: 8, byteLength: 2 ** 33 }], { zip64: true }),
      '"x.npy" unpacks to 8589934592 bytes, more than the limit of 4294967296',
    ],
    [
      "a size beyond any file",
      archive([{ ...member, byteLength: 2 ** 60 }], { zip64: true }),
      "a size of 1152921504606846976 is beyond any file",
    ],
    [
      "a stored member of two sizes",
      archive([{ ...member, byteLength: 5 }]),
      'its member "x.npy" is stored as 136 bytes and said to have 5',
    ],
    [
      "a wrong checksum",
      archive([{ ...member, crc: 1 }]),
      'its member "x.npy" is damaged: the checksum differs',
    ],
    [
      "damaged deflate",
      archive([{ ...member, packed: damagedDeflate, method: 8 }]),
      'its member "x.npy" is damaged',
    ],
    [
      "members that overlap",
      archive([member, { ...member, name: "y.npy", localOffset: 0 }]),
      "two of its members share byte 35",
    ],
    [
      "a member outside the file",
      archive([{ ...member, localOffset: 1e9 }]),
      'its member "x.npy" does not begin at byte 1000000000, where the directory says',
    ],
    [
      "a local header with a long name",
      edit(28, 255),
      'its member "x.npy" would end behind the directory\'s begin',
    ],
    ["a damaged directory", edit(30 + 5 + content.length, 0), "its directory is damaged at byte 171"],
    [
      "a directory name beyond its end",
      edit(30 + 5 + content.length + 28, 200),
      "its directory is damaged at byte 171",
    ],
    ["a directory longer than its members", edit(-22 + 10, 0), "its directory is longer than its members"],
    ["a count that cannot be", edit(-22 + 11, 5), "its directory of 51 bytes cannot hold 1281 members"],
    [
      "a directory behind the end",
      edit(-22 + 12, 255),
      "its directory would end at byte 426, behind byte 222",
    ],
  ];
  for (const [name, bytes, reason] of cases)
    test(name, () => {
      expect(messageFor(bytes)).toBe(`BAD_INPUT: Cannot read npz "a.npz": ${reason}`);
    });

  test("too many members, and too many bytes in all", () => {
    const bytes = archive([member, { ...member, name: "y.npy" }]);
    expect(messageFor(bytes, { ...defaultLimits, archiveEntries: 1 })).toBe(
      'BAD_INPUT: Cannot read npz "a.npz": 2 members are more than the limit of 1',
    );
    expect(messageFor(bytes, { ...defaultLimits, archiveBytes: 200 })).toBe(
      'BAD_INPUT: Cannot read npz "a.npz": "y.npy" unpacks to 136 bytes, more than the limit of 200',
    );
  });

  test("a zip64 record that is not there", () => {
    const bytes = archive([member], { zip64: true });
    const locator = bytes.length - 22 - 20;
    bytes[locator + 8] = 1;
    expect(messageFor(bytes)).toBe('BAD_INPUT: Cannot read npz "a.npz": its zip64 record is damaged');
  });

  test("encryption, volumes and other compressions, by name", () => {
    expect(messageFor(archive([{ ...member, flags: 1 }]))).toBe(
      'UNSUPPORTED: Cannot read npz "a.npz": its member "x.npy" is encrypted',
    );
    expect(messageFor(edit(-22 + 4, 1))).toBe(
      'UNSUPPORTED: Cannot read npz "a.npz": it is one of several volumes',
    );
    const split64 = archive([member], { zip64: true });
    split64[split64.length - 22 - 20 - 56 + 16] = 2;
    expect(messageFor(split64)).toBe('UNSUPPORTED: Cannot read npz "a.npz": it is one of several volumes');
    for (const [method, bytes] of Object.entries(fixture.others))
      expect(messageFor(base64(bytes))).toBe(
        `UNSUPPORTED: Cannot read npz "a.npz": its member "x.npy" is packed by ${method}`,
      );
    expect(messageFor(archive([{ ...member, method: 77 }]))).toBe(
      'UNSUPPORTED: Cannot read npz "a.npz": its member "x.npy" is packed by method 77',
    );
  });
});

test("names that no archive can hold, and archives beyond 4 GiB, are not written", () => {
  expect(errorOf(() => encodeNpz(new Map([["n".repeat(70_000), x]]))).message).toBe(
    "Cannot write npz: a name of 70004 bytes is too long",
  );
  const many = new Map<string, Tensor>(
    Array.from({ length: 65_535 }, (_, i) => [String(i), tensorOf("uint8", [])]),
  );
  expect(errorOf(() => encodeNpz(many)).message).toEndWith("bytes in one archive are more than 4 GiB allow");
});

test("the same arrays give the same bytes, whenever they are written", () => {
  const digest = (compress: boolean): string =>
    new Bun.CryptoHasher("sha256").update(encodeNpz(expected, { compress })).digest("hex").slice(0, 16);
  // numpy 2.4 read the stored archive with this digest back to the same arrays.
  expect(digest(false)).toBe("76c88832a7e6e831");
  expect(decodeNpz(encodeNpz(expected, { compress: true }), "a.npz")).toEqual(expected);
});

test("any arrays survive writing and reading", () => {
  const dtypes = allDTypes.filter((dtype) => dtype !== "bfloat16");
  const archives = fc.dictionary(
    fc.string({ unit: "grapheme", minLength: 1, maxLength: 8 }),
    tensors(dtypes),
    { maxKeys: 4 },
  );
  fc.assert(
    fc.property(archives, fc.boolean(), (arrays, compress) => {
      // A name that ends in ".npy" or "/" means something else inside an archive.
      const map = new Map(Object.entries(arrays).map(([name, tensor]) => [`${name}_`, tensor]));
      expect(decodeNpz(encodeNpz(map, { compress }), "a.npz")).toEqual(map);
    }),
  );
});

test("damaged archives throw only errors of ours", () => {
  for (const form of [fixture.stored, fixture.deflated])
    fc.assert(
      fc.property(damaged(base64(form)), (bytes) => {
        try {
          decodeNpz(bytes, "a.npz");
        } catch (error) {
          expect(error).toHaveProperty("name", "CoremlxError");
        }
      }),
      { numRuns: 500 },
    );
});
