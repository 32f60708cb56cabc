// One model: what it is, its live numbers, the form, and the answer to what was sent.

import { planAnswer } from "../answer-plan.ts";
import type { ModelForm, ModelNumbers } from "../page-data.ts";
import { InputProblem, planRequest, type RequestPlan, type Sequence } from "../request-plan.ts";
import { curlSnippet, needsRequestFile, pythonSnippet, requestFileName } from "../snippets.ts";
import { drawView } from "./answer-view.ts";
import { type Answered, baseUrl, hasKey, sendRequest } from "./api.ts";
import { makeCodeBlock, makeSaveButton } from "./code-block.ts";
import { make, makeButton, newId, setText } from "./dom.ts";
import { type InputField, makeInputField } from "./input-field.ts";

export interface ModelView {
  readonly root: HTMLElement;
  readonly showNumbers: (numbers: ModelNumbers, perSecond: number | undefined) => void;
}

const shownJsonLength = 20_000;

export function makeModelView(form: ModelForm): ModelView {
  const numbers = makeNumbers();
  const answer = make("div", { id: "answer" });
  const code = make("div", { id: "code" });
  const status = make("p", { className: "quiet", id: "status", aria: { role: "status" } });
  const run = make("button", { className: "main" }, "Run");
  let underWay: AbortController | undefined;

  const fields = new Map<string, InputField>();
  const isAlone = form.inputs.filter(({ isOptional }) => !isOptional).length === 1;
  for (const input of form.inputs) {
    fields.set(
      input.name,
      makeInputField(input, () => {
        if (isAlone) void send();
      }),
    );
  }
  const sequence = form.isStateful ? makeSequence() : undefined;

  const plan = (): RequestPlan | undefined => {
    for (const field of fields.values()) field.showProblem(undefined);
    try {
      const values = new Map(Array.from(fields, ([name, field]) => [name, field.read()]));
      return planRequest(form, values, sequence?.read());
    } catch (error) {
      if (!(error instanceof InputProblem)) throw error;
      fields.get(error.input)?.showProblem(error.message);
      return undefined;
    }
  };
  const showCode = (): RequestPlan | undefined => {
    const made = plan();
    if (made !== undefined) code.replaceChildren(drawCode(made));
    return made;
  };
  const send = async (): Promise<void> => {
    const made = showCode();
    if (made === undefined) return;
    underWay?.abort();
    const own = new AbortController();
    underWay = own;
    status.textContent = "Running …";
    stop.hidden = false;
    try {
      const answered = await sendRequest(made, own.signal);
      if (underWay !== own) return;
      status.textContent = `Answered in ${answered.ms.toFixed(1)} ms`;
      answer.replaceChildren(drawAnswer(form, answered));
    } catch (error) {
      if (underWay !== own) return;
      status.textContent = own.signal.aborted ? "Stopped" : "";
      if (!own.signal.aborted) answer.replaceChildren(drawFailure(error));
    }
    stop.hidden = true;
  };
  const stop = makeButton("Stop", () => underWay?.abort());
  stop.hidden = true;

  const element = make(
    "form",
    { aria: { "aria-label": `Run ${form.name}` } },
    ...Array.from(fields.values(), ({ root }) => root),
    sequence?.root,
    make(
      "div",
      { className: "row" },
      run,
      stop,
      makeButton("Show the code only", () => void showCode()),
      status,
    ),
  );
  element.addEventListener("submit", (event) => {
    event.preventDefault();
    void send();
  });
  const root = make("div", {}, drawHead(form, numbers.root), element, answer, code);
  return { root, showNumbers: numbers.show };
}

function drawHead(
  { name, version, platform, description, author, license }: ModelForm,
  numbers: HTMLElement,
): HTMLElement {
  const facts = [`version ${version}`, platform, author && `by ${author}`, license && `licence: ${license}`];
  return make(
    "section",
    {},
    make("h2", {}, name),
    make("p", { className: "quiet" }, facts.filter(Boolean).join(" · ")),
    description === "" ? undefined : make("p", {}, description),
    numbers,
  );
}

const numberNames = ["answered", "failed", "per second", "mean", "99 %", "waiting", "busy", "on"] as const;

function makeNumbers(): { readonly root: HTMLElement; readonly show: ModelView["showNumbers"] } {
  const cells = numberNames.map((name) => [name, make("dd", {}, "–")] as const);
  const root = make(
    "dl",
    { className: "numbers" },
    ...cells.map(([name, cell]) => make("div", {}, make("dt", {}, name), cell)),
  );
  return {
    root,
    show(numbers, perSecond) {
      const { succeeded, failed, meanMs, p99Ms, pending, busy, instances, device } = numbers;
      const ms = (value: number) => (succeeded === 0 ? "–" : `${value.toFixed(value < 10 ? 2 : 0)} ms`);
      const texts: Readonly<Record<(typeof numberNames)[number], string>> = {
        answered: String(succeeded),
        failed: String(failed),
        "per second": perSecond === undefined ? "–" : perSecond.toFixed(1),
        mean: ms(meanMs),
        "99 %": ms(p99Ms),
        waiting: String(pending),
        busy: `${busy} of ${instances}`,
        on: device,
      };
      for (const [name, cell] of cells) setText(cell, texts[name]);
    },
  };
}

function makeSequence(): { readonly root: HTMLElement; readonly read: () => Sequence } {
  const id = make("input", { type: "text", id: newId() });
  const start = make("input", { type: "checkbox", id: newId() });
  const end = make("input", { type: "checkbox", id: newId() });
  const root = make(
    "fieldset",
    {},
    make("legend", {}, "Sequence"),
    make(
      "p",
      { className: "quiet" },
      "This model keeps states from one request to the next of the same sequence. Without an id each starts from zero.",
    ),
    make(
      "div",
      { className: "row" },
      make("label", { htmlFor: id.id }, "Id"),
      id,
      make("span", {}, start, " ", make("label", { htmlFor: start.id }, "first of it")),
      make("span", {}, end, " ", make("label", { htmlFor: end.id }, "last of it")),
    ),
  );
  return { root, read: () => ({ id: id.value, isStart: start.checked, isEnd: end.checked }) };
}

function drawAnswer(form: ModelForm, { outputs, text }: Answered): HTMLElement {
  const isCut = text.length > shownJsonLength;
  const raw = make(
    "details",
    {},
    make(
      "summary",
      {},
      isCut ? `The answer as JSON (the first ${shownJsonLength} characters)` : "The answer as JSON",
    ),
    make(
      "pre",
      { tabIndex: 0, aria: { role: "region", "aria-label": "JSON" } },
      text.slice(0, shownJsonLength),
    ),
  );
  return make(
    "section",
    { aria: { "aria-label": "Answer" } },
    make("h2", {}, "Answer"),
    ...planAnswer(form, outputs).map(drawView),
    raw,
  );
}

function drawFailure(error: unknown): HTMLElement {
  return make(
    "section",
    { aria: { role: "alert" } },
    make("h2", {}, "No answer"),
    make("p", { className: "bad" }, error instanceof Error ? error.message : String(error)),
  );
}

function drawCode(plan: RequestPlan): HTMLElement {
  const file = plan.kind === "picture" ? plan.picture.fileName : undefined;
  const saved = plan.kind === "json" && needsRequestFile(plan) ? plan.text : undefined;
  const target = { baseUrl, hasKey: hasKey() };
  const note = file === undefined ? undefined : `To be run in the folder of ${file}.`;
  return make(
    "section",
    { aria: { "aria-label": "Code" } },
    make("h2", {}, "This request as code"),
    note && make("p", { className: "quiet" }, note),
    saved &&
      make(
        "p",
        { className: "row" },
        "The request is long: it is read from a file.",
        makeSaveButton(requestFileName, saved),
      ),
    makeCodeBlock("curl", curlSnippet(plan, target)),
    makeCodeBlock("Python", pythonSnippet(plan, target)),
  );
}
