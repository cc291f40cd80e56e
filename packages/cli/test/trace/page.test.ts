import { describe, expect, it } from "vitest";

import { page } from "../../src/trace/page.ts";
import { timelineOf } from "../../src/trace/timeline.ts";
import { Random } from "../random.ts";
import { BOOT_LOG } from "./boot-log.ts";

const SUBJECT = { guest: "0a1b2c3d", kind: "simulated", created: "2026-11-25T00:00:00.000Z", image: "busybox" };
const HOSTILE = `</pre><script>alert(1)</script><img src=x onerror=alert(1)>" onload="x' --> ]]> &lt; http://evil.example/x`;

/** The tags of a page with their attributes' names: what a browser makes of it. */
function skeleton(html: string): readonly string[] {
  return [...html.matchAll(/<(\/?[a-zA-Z!][^\s>]*)((?:\s+[a-z-]+(?:="[^"]*")?)*)\s*>/gu)].map(
    ([, tag = "", attributes = ""]) =>
      [tag, ...[...attributes.matchAll(/([a-z-]+)(?:="[^"]*")?/gu)].map(([, name]) => name)].join(" "),
  );
}

describe("the page", () => {
  const html = page(SUBJECT, timelineOf(BOOT_LOG), BOOT_LOG);

  it("needs nothing else: no script, no reference, no request", () => {
    expect(html).not.toMatch(/https?:|\/\/[a-z]|<script|<link|<img|<iframe|url\(|@import|\ssrc=|href=|\son[a-z]+=/iu);
    expect(html).toContain(`content="default-src 'none'; style-src 'unsafe-inline'"`);
  });

  it("can be read without seeing it: a language, headings, a caption, headers of rows and columns", () => {
    expect(html).toMatch(/^<!doctype html>\n<html lang="en">/u);
    for (const part of [
      "<main>",
      "<h1>",
      "<caption>",
      '<th scope="col">',
      '<th scope="row">',
      'aria-labelledby="timeline"',
    ]) {
      expect(html).toContain(part);
    }
    // The bars say nothing that the numbers beside them do not.
    expect(html.match(/<td class="track" aria-hidden="true">/gu)?.length).toBe(timelineOf(BOOT_LOG).rows.length);
    expect(html).toContain("prefers-color-scheme:dark");
  });

  it("has every event with its numbers", () => {
    expect(html).toMatch(
      /CreateContainer abababab<\/span><\/td>.*<td class="number">400<\/td><td class="number">150<\/td>/u,
    );
    expect(html).toContain("<dt>first output</dt><dd>500 ");
  });

  it("has the same elements whatever the guest and the host have named", () => {
    const benign = "x".repeat(10);
    const withText = (text: string): string => {
      const timeline = timelineOf(BOOT_LOG);
      const rows = timeline.rows.map((row) => ({ ...row, detail: text, subject: `${row.subject}${text}`, step: text }));
      return page({ ...SUBJECT, guest: text, image: text }, { ...timeline, rows }, `${BOOT_LOG}${text}`);
    };
    expect(skeleton(withText(HOSTILE))).toEqual(skeleton(withText(benign)));
    expect(withText(HOSTILE)).toContain("&lt;script&gt;alert(1)&lt;/script&gt;");
  });

  it("the same for random texts (seeded)", () => {
    const random = new Random(11);
    const parts = [
      "<",
      ">",
      "&",
      '"',
      "'",
      "</pre>",
      "<!--",
      "-->",
      "\u001b[31m",
      "\u202e",
      "\u0000",
      "\ud800",
      "a",
      "=",
      "\n",
    ];
    const reference = skeleton(page(SUBJECT, timelineOf(BOOT_LOG), "x"));
    for (let i = 0; i < 500; i++) {
      const text = Array.from({ length: 1 + random.below(20) }, () => random.pick(parts)).join("");
      const hostile = page({ ...SUBJECT, image: text }, timelineOf(BOOT_LOG), text);
      expect(skeleton(hostile)).toEqual(reference);
      expect(hostile).not.toMatch(/[\0\u001b\u202e]/u);
    }
  });

  it("is bounded", () => {
    const big = page(SUBJECT, timelineOf("NVRC event 1.000000 nvrc.a\n".repeat(6000)), "x".repeat(2 ** 20));
    expect(big).toContain("<p>1000 more events are left out.</p>");
    expect(big).toContain("The log is longer");
    expect(big.length).toBeLessThan(3 * 2 ** 20);
  });
});
