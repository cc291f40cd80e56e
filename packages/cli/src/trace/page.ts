import { escapeHtml, htmlPage } from "../html-page.ts";
import {
  axisStep,
  factsOf,
  milestoneTexts,
  shownDetail,
  shownMilliseconds,
  titleOf,
  type TraceSubject,
} from "./describe.ts";
import { STYLE } from "./page-style.ts";
import type { Row, Timeline } from "./timeline.ts";

/** Rows of the page; a browser lays out no more of them in a second. */
const MAX_ROWS = 5000;
/** Characters of the log that go into the page, from its beginning: that is where the boot is. */
const MAX_LOG = 512 * 1024;
/** Colours that STYLE has; subjects beyond share them. */
const COLOURS = 8;
const TICKS = 8;

/** A timeline as one page; what the guest and the host have named is escaped. */
export function page(subject: TraceSubject, timeline: Timeline, log: string): string {
  return htmlPage({
    title: titleOf(subject),
    style: STYLE,
    main: `<p class="facts">${escapeHtml(factsOf(subject).join(" · "))}</p>
${milestonesOf(timeline)}
${table(timeline)}
${logOf(log)}`,
  });
}

function milestonesOf({ milestones }: Timeline): string {
  const sections = milestoneTexts(milestones).map(([from, texts], i) => {
    const entries = texts.map(
      ([text, ms]) =>
        `<div><dt>${escapeHtml(text)}</dt><dd>${shownMilliseconds(ms)} <abbr title="milliseconds">ms</abbr></dd></div>`,
    );
    return `<section aria-labelledby="since${i}"><h2 id="since${i}">After ${escapeHtml(from)}</h2><dl>${entries.join("")}</dl></section>`;
  });
  return sections.length === 0 ? "" : `<div class="milestones">${sections.join("")}</div>`;
}

function table(timeline: Timeline): string {
  const rows = timeline.rows.slice(0, MAX_ROWS);
  const subjects = [...new Set(rows.map(({ subject }) => subject))];
  const step = axisStep(timeline.length, TICKS);
  const grid = timeline.length === 0 ? 100 : (step / timeline.length) * 100;
  const left = timeline.rows.length - rows.length + timeline.dropped;
  return `<section aria-labelledby="timeline"><h2 id="timeline">Timeline</h2>
<div class="scroll" role="region" aria-labelledby="timeline" tabindex="0">
<table style="--grid:${percent(grid)}">
<caption>Times in milliseconds since the first event. A bar is as long as its event lasted, a diamond is a moment.</caption>
<thead><tr><th scope="col">Who</th><th scope="col">What</th><th scope="col" class="axis"><span class="hidden">When</span>${ticks(timeline.length, step)}</th><th scope="col" class="number">begin</th><th scope="col" class="number">lasted</th></tr></thead>
<tbody>
${rows.map((row, i) => rowOf(row, subjects.indexOf(row.subject), rows[i - 1], timeline.length)).join("\n")}
</tbody>
</table>
</div>
${left > 0 ? `<p>${left} more events are left out.</p>` : ""}</section>`;
}

function ticks(length: number, step: number): string {
  const marks: string[] = [];
  for (let at = 0; at <= length && marks.length <= 2 * TICKS; at += step) {
    const left = length === 0 ? 0 : (at / length) * 100;
    marks.push(
      `<span class="tick" aria-hidden="true" style="left:${percent(left)}">${Number(at.toPrecision(6))}</span>`,
    );
  }
  return marks.join("");
}

function rowOf(row: Row, index: number, before: Row | undefined, length: number): string {
  const colour = `c${index % COLOURS}`;
  const left = length === 0 ? 0 : (row.begin / length) * 100;
  const width = length === 0 ? 0 : (row.lasted / length) * 100;
  const mark =
    row.lasted === 0
      ? `<i class="moment" style="left:${percent(left)}"></i>`
      : `<i class="bar" style="left:${percent(left)};width:${percent(width)}"></i>`;
  const who = `<th scope="row"${before?.subject === row.subject ? ' class="again"' : ""}>${escapeHtml(row.subject)}</th>`;
  const detail =
    row.detail === ""
      ? ""
      : ` <span class="detail" title="${escapeHtml(row.detail)}">${escapeHtml(shownDetail(row.detail))}</span>`;
  const lasted = row.lasted === 0 ? "–" : shownMilliseconds(row.lasted);
  return `<tr class="${colour}">${who}<td>${escapeHtml(row.step)}${detail}</td><td class="track" aria-hidden="true">${mark}</td><td class="number">${shownMilliseconds(row.begin)}</td><td class="number">${lasted}</td></tr>`;
}

function logOf(log: string): string {
  const shown = log.slice(0, MAX_LOG);
  const note = shown.length < log.length ? "<p>The log is longer; this is its beginning.</p>" : "";
  return `<details><summary>The guest's log</summary>${note}<pre tabindex="0">${escapeHtml(shown)}</pre></details>`;
}

function percent(value: number): string {
  return `${value.toFixed(3)}%`;
}
