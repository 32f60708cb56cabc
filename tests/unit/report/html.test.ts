import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { embedJson, escapeHtml, html, trust } from "../../../src/report/html.ts";

describe("a template", () => {
  test("escapes every text, between tags and in attributes, and takes markup as it is", () => {
    const text = `<b a="1" b='2'>&</b>`;
    const made = html`<p title="${text}">${text}${[html`<i>${1}</i>`, undefined, "<"]}${trust("<hr>")}</p>`;
    const escaped = "&lt;b a=&quot;1&quot; b=&#39;2&#39;&gt;&amp;&lt;/b&gt;";
    expect(made.toString()).toBe(`<p title="${escaped}">${escaped}<i>1</i>&lt;<hr></p>`);
  });

  test("never lets a text open a tag or end an attribute, whatever it is", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        expect(html`${text}`.toString()).not.toMatch(/[<>"']/);
      }),
    );
  });

  test("shows control characters, halves of pairs and marks that turn the direction of writing", () => {
    expect(escapeHtml("a\u001b[2J\u202eb\ud800\n")).toBe("a\\u001b[2J\\u202eb\\ud800\n");
  });
});

test("JSON in a script element cannot end it, and reads as what it was", () => {
  const value = { text: "</script><!--<script>" };
  const text = embedJson(value).toString();
  expect(text).not.toContain("<");
  expect(JSON.parse(text)).toEqual(value);
});
