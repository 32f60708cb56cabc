// The pages in Chromium: a digit is dropped and recognised, the shown code works in a shell, and the pages can be used by
// keyboard, by screen reader, in the dark and on a phone. Run by `bun run test:browser`.

import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import type { Browser, BrowserContextOptions, Page } from "playwright-core";
import { keyGroups } from "../../src/server/security/keys.ts";
import { operation, port, writeProgram } from "../support/program-models.ts";
import { digitsPackage } from "../support/digits.ts";
import { attack, writeHostileModel } from "../support/hostile-model.ts";
import { runCommand } from "../support/program.ts";
import { serveModels, type TestServer } from "../support/server/serve.ts";
import { findViolations, openBrowser } from "../support/server/browser.ts";
import { tempFolder } from "../support/temp.ts";
import { program } from "../support/tools.ts";

const { missing } = program("chromium");
if (missing !== undefined && process.env["COREMLX_CI"] === "1")
  throw new Error(`Cannot run this suite: ${missing}`);
if (missing !== undefined) process.stderr.write(`skipped: the pages in a browser: ${missing}\n`);

const digits = resolve(import.meta.dir, "../../examples/digits");
const phone = { viewport: { width: 375, height: 667 } };

describe.skipIf(missing !== undefined)("in Chromium", () => {
  const folder = tempFolder();
  let served: TestServer;
  let browser: Browser;
  /** What the pages complained about, in this test. */
  let complaints: string[] = [];
  /** Who was asked for something, over all tests. */
  const asked = new Set<string>();

  beforeAll(async () => {
    browser = await openBrowser();
    const shape = [1, 64];
    const [x, y] = [port("x", "float32", shape), port("y", "float32", shape)];
    const wave = writeProgram(join(folder.path, "wave.mlpackage"), {
      inputs: [x],
      outputs: [y],
      operations: [operation("relu", { x: "x" }, y)],
    });
    served = await serveModels([
      { name: "Digits", path: digitsPackage },
      { name: "Counter", path: resolve(import.meta.dir, "../../examples/counter/Counter.mlpackage") },
      { name: "wave", path: wave },
      { name: attack, path: writeHostileModel(join(folder.path, "hostile.mlpackage")) },
    ]);
  });
  afterAll(async () => {
    await browser?.close();
    await served?.[Symbol.asyncDispose]();
    folder[Symbol.dispose]();
  });
  beforeEach(() => {
    complaints = [];
  });

  async function openPage(
    path: string,
    options: BrowserContextOptions = {},
    url = served.url,
    shows = "main h2",
  ): Promise<Page & AsyncDisposable> {
    const context = await browser.newContext({
      ...options,
      permissions: ["clipboard-read", "clipboard-write"],
    });
    const page = await context.newPage();
    page.on("console", (message) => void complaints.push(message.text()));
    page.on("pageerror", (error) => void complaints.push(String(error)));
    page.on("request", (request) => {
      const { origin } = new URL(request.url());
      asked.add(origin === new URL(url).origin ? "the server" : origin);
    });
    await page.goto(url + path);
    await page.waitForSelector(shows);
    return Object.assign(page, { [Symbol.asyncDispose]: () => context.close() });
  }

  const modelPath = (name: string) => `/#/${encodeURIComponent(name)}/1`;

  async function dropDigit(page: Page, digit: number): Promise<void> {
    const bytes = readFileSync(join(digits, `digit_${digit}.png`)).toString("base64");
    const transfer = await page.evaluateHandle(
      `(() => {
        const bytes = Uint8Array.fromBase64(${JSON.stringify(bytes)});
        const transfer = new DataTransfer();
        transfer.items.add(new File([bytes], "digit_${digit}.png", { type: "image/png" }));
        return transfer;
      })()`,
    );
    await page.dispatchEvent(".drop", "drop", { dataTransfer: transfer });
    await page.waitForSelector(".classes li");
  }

  const topClass = (page: Page) => page.locator(".classes li").first();
  const widthOfBar = (page: Page): Promise<number> =>
    page.evaluate(`(() => {
      const bar = document.querySelector(".classes i");
      return bar.getBoundingClientRect().width / bar.parentElement.getBoundingClientRect().width;
    })()`);

  test("a dropped digit is recognised, with a bar as long as its probability", async () => {
    await using page = await openPage("/");
    await dropDigit(page, 7);
    expect(await page.locator("section[aria-label='Output classLabel'] .big").textContent()).toBe("7");
    const text = (await topClass(page).textContent()) ?? "";
    expect(text).toMatch(/^7\d\d\.\d %$/);
    expect(await widthOfBar(page)).toBeCloseTo(Number.parseFloat(text.slice(1)) / 100, 2);
    expect(complaints).toEqual([]);
  });

  test("the copied curl line works in a shell, and gives the same class", async () => {
    await using page = await openPage("/");
    await dropDigit(page, 4);
    await page.getByRole("button", { name: "Copy curl" }).click();
    await page.getByText("copied", { exact: true }).waitFor();
    const line: string = await page.evaluate("navigator.clipboard.readText()");
    const { code, stdout } = await runCommand(["sh", "-c", line], { cwd: digits });
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ outputs: [{ name: "classLabel", data: ["4"] }, {}, {}] });
  });

  test("everything is done with the keyboard alone", async () => {
    await using page = await openPage("/");
    await page.keyboard.press("Tab");
    expect(await page.evaluate("document.activeElement.textContent")).toBe("Skip to the model");
    const focused = () =>
      page.evaluate(
        "document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent",
      );
    const tabTo = async (wanted: string | RegExp) => {
      for (let i = 0; i < 60; i++) {
        if (String(await focused()).match(wanted)) return;
        await page.keyboard.press("Tab");
      }
      throw new Error(`Tab did not reach ${wanted}`);
    };
    await tabTo(/^wave/);
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "wave", level: 2 }).waitFor();
    await tabTo("Fill x with ramp");
    await page.keyboard.press("Space");
    await tabTo(/^Run$/);
    await page.keyboard.press("Enter");
    await page.getByRole("img", { name: "Line of 64 values from 0 to 1" }).waitFor();
    await tabTo("Copy Python");
    await page.keyboard.press("Enter");
    await page.getByText("copied", { exact: true }).waitFor();
    expect(await page.evaluate("navigator.clipboard.readText()")).toContain("urllib.request");
    expect(complaints).toEqual([]);
  });

  test("a chosen picture and a pasted list do as well as a dropped one", async () => {
    await using page = await openPage("/");
    await page.setInputFiles('input[accept="image/*"]', join(digits, "digit_2.png"));
    await page.waitForSelector(".classes li");
    expect(await topClass(page).textContent()).toStartWith("2");
    await page.goto(served.url + modelPath("wave"));
    await page.getByRole("heading", { name: "wave", level: 2 }).waitFor();
    await page.getByRole("textbox", { name: "Values of x" }).fill("[1, 2]");
    await page.getByRole("button", { name: "Run" }).click();
    expect(await page.getByRole("alert").textContent()).toBe('"x" takes 1 × 64 values, got 2');
  });

  test("what the server refuses is told in its own words", async () => {
    await using page = await openPage(modelPath("wave"));
    await page.getByRole("textbox", { name: "Values of x" }).fill(JSON.stringify(Array(64).fill("no")));
    await page.getByRole("button", { name: "Run" }).click();
    const alert = page.getByRole("alert").filter({ hasText: "No answer" });
    expect(await alert.textContent()).toContain('element 0 of input "x" is "no", no number for FP32');
  });

  test("states are kept over the requests of a sequence", async () => {
    await using page = await openPage(modelPath("Counter"));
    await page.getByRole("heading", { name: "Counter", level: 2 }).waitFor();
    await page.getByRole("textbox", { name: "Values of amount" }).fill("[2]");
    await page.getByRole("textbox", { name: "Id" }).fill("a");
    await page.getByRole("checkbox", { name: "first of it" }).check();
    const total = page.locator("section[aria-label='Output total'] .big");
    await page.getByRole("button", { name: "Run" }).click();
    await total.getByText("2", { exact: true }).waitFor();
    await page.getByRole("checkbox", { name: "first of it" }).uncheck();
    await page.getByRole("button", { name: "Run" }).click();
    await total.getByText("4", { exact: true }).waitFor();
  });

  test("numbers of a model grow with its requests, without a reload", async () => {
    await using page = await openPage("/");
    const answered = page.locator(".numbers div").filter({ hasText: "answered" }).locator("dd");
    const before = Number(await answered.textContent());
    await dropDigit(page, 1);
    await answered.filter({ hasText: new RegExp(`^${before + 1}$`) }).waitFor();
  });

  test("a model is loaded and unloaded by a button, where the server lets clients do that", async () => {
    await using explicit = await serveModels([{ name: "Digits", path: digitsPackage }], {
      control: "explicit",
    });
    await using page = await openPage("/", {}, explicit.url, "main button");
    const load = page.getByRole("button", { name: "Load Digits" });
    expect(await findViolations(page)).toEqual([]);
    await load.focus();
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "Digits", level: 2 }).waitFor();
    await dropDigit(page, 7);
    expect(await topClass(page).textContent()).toStartWith("7");
    await page.getByRole("button", { name: "Unload Digits" }).click();
    await load.waitFor();
    expect(explicit.server.repository.served).toEqual([]);
    expect(complaints).toEqual([]);
    await using other = await openPage("/");
    expect(await other.getByRole("button", { name: "Unload" }).count()).toBe(0);
  });

  test("texts of a hostile model are shown as they are, and do nothing", async () => {
    await using page = await openPage(modelPath(attack));
    await page.getByRole("heading", { name: attack, level: 2 }).waitFor();
    await page.getByRole("button", { name: "Fill x with ramp" }).click();
    await page.getByRole("button", { name: "Run" }).click();
    await page.getByRole("heading", { name: attack, level: 3 }).waitFor();
    const made = await page.evaluate(
      "[typeof attacked, document.querySelectorAll('img[src=x]').length, document.scripts.length]",
    );
    expect(made).toEqual(["undefined", 0, 1]);
    expect(await page.locator("main section").first().textContent()).toContain(attack);
    expect(complaints).toEqual([]);
  });

  test("a key is asked for where the server has keys, kept by the page alone, and left out of the code", async () => {
    const text = "k".repeat(32);
    await using closed = await serveModels([{ name: "Digits", path: digitsPackage }], {
      keys: [{ text, groups: keyGroups }],
    });
    for (const [path, wanted] of [
      ["/docs", "coremlx API"],
      ["/", "Digits"],
    ] as const) {
      await using page = await openPage(path, {}, closed.url);
      await page.getByRole("textbox", { name: "API key" }).fill("x".repeat(32));
      await page.keyboard.press("Enter");
      await page.getByText("The key is not known").waitFor();
      expect(await findViolations(page)).toEqual([]);
      await page.getByRole("textbox", { name: "API key" }).fill(text);
      await page.keyboard.press("Enter");
      await page.getByRole("heading", { name: wanted, level: 2 }).waitFor();
      if (path !== "/") continue;
      await dropDigit(page, 5);
      expect(await topClass(page).textContent()).toStartWith("5");
      const body = (await page.locator("body").textContent()) ?? "";
      expect([body.includes("$COREMLX_API_KEY"), body.includes(text)]).toEqual([true, false]);
    }
    asked.delete(closed.url);
  });

  test("markup that did get in would not run: the policy holds", async () => {
    await using page = await openPage("/");
    const tried = await page.evaluate(`(() => {
      try {
        document.body.innerHTML = "<img src=x onerror='attacked=1'>";
        return "let in";
      } catch (error) {
        return error.name;
      }
    })()`);
    expect(tried).toBe("TypeError");
  });

  describe.each<[string, BrowserContextOptions]>([
    ["light", { colorScheme: "light" }],
    ["dark", { colorScheme: "dark" }],
    ["phone", { ...phone, colorScheme: "light" }],
  ])("%s", (_name, options) => {
    test("axe finds nothing serious on a page with an answer, and nothing is wider than the screen", async () => {
      await using page = await openPage("/", options);
      await dropDigit(page, 7);
      expect(await findViolations(page)).toEqual([]);
      expect(await page.evaluate("document.documentElement.scrollWidth <= innerWidth")).toBe(true);
    });

    test("axe finds nothing serious in the reference, all of it open", async () => {
      await using page = await openPage("/docs", options);
      await page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })");
      expect(await findViolations(page)).toEqual([]);
      expect(await page.evaluate("document.documentElement.scrollWidth <= innerWidth")).toBe(true);
      expect(complaints).toEqual([]);
    });
  });

  test("the dark is dark, and the light is light", async () => {
    const lightness = async (colorScheme: "light" | "dark") => {
      await using page = await openPage("/", { colorScheme });
      const color: string = await page.evaluate("getComputedStyle(document.body).backgroundColor");
      return Math.max(...(color.match(/\d+/g) ?? []).map(Number));
    };
    expect(await lightness("light")).toBeGreaterThan(200);
    expect(await lightness("dark")).toBeLessThan(60);
  });

  test("the reference has every operation, and leads to its schemas", async () => {
    await using page = await openPage("/docs");
    const { json } = await served.get("/openapi.json");
    const { paths } = json as { readonly paths: Readonly<Record<string, object>> };
    const count = Object.values(paths).reduce((sum, methods) => sum + Object.keys(methods).length, 0);
    expect(await page.locator(".operation").count()).toBe(count);
    await page.locator("#operation-modelInfer > summary").click();
    await page.locator("#operation-modelInfer").getByRole("link", { name: "InferRequest" }).click();
    await page.locator("#schema-InferRequest").getByText("datatype").first().waitFor({ state: "attached" });
    expect(await page.locator("#schema-InferRequest").getAttribute("open")).toBe("");
  });

  test("nothing was asked of anybody but the server", () => {
    expect([...asked]).toEqual(["the server"]);
  });
});
