import { describe, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import {
  closeSync,
  fstatSync,
  ftruncateSync,
  openSync,
  readFileSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import {
  createMemoryFile,
  duplicateDescriptor,
  isHeldElsewhere,
  linkDescriptor,
  lockFile,
  mapMemory,
  preallocate,
  sealSize,
} from "../../../src/native/kernel.ts";
import { tempFolder } from "../../support/temp.ts";

const linux = process.platform === "linux";

describe("reserving a file's space", () => {
  test("makes the file that long", () => {
    using folder = tempFolder();
    const fd = openSync(join(folder.path, "file"), "w");
    preallocate(fd, 100_000, folder.path);
    if (linux) expect(fstatSync(fd)).toMatchObject({ size: 100_000 });
    closeSync(fd);
  });

  test.if(linux)("that the system cannot give is an error with its reason", () => {
    using folder = tempFolder();
    const fd = openSync(join(folder.path, "file"), "w");
    expect(() => preallocate(fd, 2 ** 52, folder.path)).toThrow(
      expect.objectContaining({
        code: "IO",
        message: expect.stringMatching(/^Cannot reserve 4503599627370496 bytes in .*: (EFBIG|ENOSPC)$/),
      }),
    );
    closeSync(fd);
  });
});

test("memory that the system does not have is OVERLOADED, with the reason", () => {
  expect(() => mapMemory(2 ** 60, { kind: "anonymous" })).toThrow(
    expect.objectContaining({
      code: "OVERLOADED",
      message: `Cannot map ${2 ** 60} bytes of memory: ENOMEM`,
    }),
  );
});

describe("a file's lock", () => {
  test("is one descriptor's alone, and ends with it", () => {
    using folder = tempFolder();
    const path = join(folder.path, "lock");
    const [first, second] = [openSync(path, "w"), openSync(path, "w")];
    expect([lockFile(first), lockFile(second)]).toEqual([true, false]);
    closeSync(first);
    expect(lockFile(second)).toBe(true);
    closeSync(second);
  });

  test("of something that is no file is an error", () => {
    expect(() => lockFile(-1)).toThrow(
      expect.objectContaining({ code: "IO", message: "Cannot lock a file: EBADF" }),
    );
  });
});

describe.if(linux)("a memory file", () => {
  test("keeps its size once that is sealed, whoever asks", () => {
    const fd = createMemoryFile("sealed");
    preallocate(fd, 5_000, "memory");
    sealSize(fd);
    expect(() => ftruncateSync(fd, 1)).toThrow("EPERM");
    expect(() => ftruncateSync(fd, 10_000)).toThrow("EPERM");
    writeSync(fd, "still", 0); // its content may change
    const other = spawnSync("truncate", ["-s", "0", `/proc/${process.pid}/fd/${fd}`]);
    expect(other.status).not.toBe(0);
    expect(fstatSync(fd).size).toBe(5_000);
    closeSync(fd);
  });

  test("cannot be sealed when it is none", () => {
    using folder = tempFolder();
    const fd = openSync(join(folder.path, "file"), "w");
    expect(() => sealSize(fd)).toThrow(expect.objectContaining({ code: "IO" }));
    closeSync(fd);
  });
});

describe.if(linux)("a file's holders", () => {
  test("are noticed while they have it open, in this process or another", async () => {
    using folder = tempFolder();
    const path = join(folder.path, "file");
    writeFileSync(path, "content");
    const fd = openSync(path, "r+");
    expect(isHeldElsewhere(fd)).toBe(false);
    const reader = openSync(path, "r");
    expect(isHeldElsewhere(fd)).toBe(true);
    closeSync(reader);
    expect(isHeldElsewhere(fd)).toBe(false);

    const other = Bun.spawn(["sh", "-c", "exec 3< file; echo open; read line; echo done"], {
      cwd: folder.path,
      stdin: "pipe",
      stdout: "pipe",
    });
    const output = other.stdout.getReader();
    await output.read();
    expect(isHeldElsewhere(fd)).toBe(true);
    await other.stdin.write("\n");
    await other.stdin.end();
    await other.exited;
    expect(isHeldElsewhere(fd)).toBe(false);
    closeSync(fd);
  });

  test("are supposed where nobody can tell", () => {
    expect(isHeldElsewhere(-1)).toBe(true);
    const pipe = openSync("/dev/null", "r");
    expect(isHeldElsewhere(pipe)).toBe(true);
    closeSync(pipe);
  });
});

describe.if(linux)("a descriptor", () => {
  test("has another number for the same file", () => {
    using folder = tempFolder();
    const fd = openSync(join(folder.path, "file"), "w");
    const copy = duplicateDescriptor(fd);
    expect(copy).not.toBe(fd);
    expect(fstatSync(copy).ino).toBe(fstatSync(fd).ino);
    closeSync(fd);
    closeSync(copy);
  });

  test("that is none cannot be duplicated", () => {
    expect(() => duplicateDescriptor(-1)).toThrow(
      expect.objectContaining({ code: "IO", message: "Cannot duplicate a file descriptor: EBADF" }),
    );
  });

  test("gets no name that is taken", () => {
    using folder = tempFolder();
    const path = join(folder.path, "taken");
    writeFileSync(path, "first");
    const fd = openSync(path, "r");
    expect(() => linkDescriptor(fd, path)).toThrow(
      expect.objectContaining({ code: "IO", message: `Cannot give ${path} its name: EEXIST` }),
    );
    expect(readFileSync(path, "utf8")).toBe("first");
    closeSync(fd);
  });
});
