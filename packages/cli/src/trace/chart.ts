import {
  axisStep,
  factsOf,
  milestoneTexts,
  shownDetail,
  shownMilliseconds,
  titleOf,
  type TraceSubject,
} from "./describe.ts";
import type { Row, Timeline } from "./timeline.ts";

/** Columns where there is no terminal to ask. */
export const DEFAULT_COLUMNS = 100;
const MIN_COLUMNS = 60;
const MAX_COLUMNS = 240;
/** Rows of a chart; who wants all takes the page or JSON. */
const MAX_ROWS = 400;
const MAX_LABEL = 46;
const NUMBER = 8;

/** A timeline in plain characters, a row an event, as wide as asked for. */
export function chart(subject: TraceSubject, timeline: Timeline, columns: number = DEFAULT_COLUMNS): string {
  const rows = timeline.rows.slice(0, MAX_ROWS);
  const width = Math.min(MAX_COLUMNS, Math.max(MIN_COLUMNS, columns));
  const labels = rows.map((row, i) => label(row, rows[i - 1]));
  const left = Math.min(MAX_LABEL, Math.floor(width / 2.4), Math.max(0, ...labels.map((text) => text.length)));
  const bars = width - left - 2 * NUMBER - 4;
  const lines = [
    ...heading(subject, timeline),
    "",
    `${" ".repeat(left)}  ${axis(timeline.length, bars)}${"begin".padStart(NUMBER + 1)}${"lasted".padStart(NUMBER)}`,
    ...rows.map((row, i) => {
      const numbers = `${shownMilliseconds(row.begin).padStart(NUMBER)}${(row.lasted === 0 ? "" : shownMilliseconds(row.lasted)).padStart(NUMBER)}`;
      return `${cut(labels[i] ?? "", left).padEnd(left)} |${bar(row, timeline.length, bars)}|${numbers}`.trimEnd();
    }),
  ];
  const hidden = timeline.rows.length - rows.length + timeline.dropped;
  if (hidden > 0) lines.push(`... and ${hidden} events more`);
  return `${lines.join("\n")}\n`;
}

function heading(subject: TraceSubject, timeline: Timeline): readonly string[] {
  const title = [titleOf(subject), ...factsOf(subject)].join(", ");
  const since = milestoneTexts(timeline.milestones).map(
    ([from, texts]) => `after ${from}: ${texts.map(([text, ms]) => `${text} ${shownMilliseconds(ms)} ms`).join(", ")}`,
  );
  return [title, ...since];
}

/** The subject is told where it changes. */
function label({ subject, step, detail }: Row, before: Row | undefined): string {
  const who = before?.subject === subject ? " ".repeat(subject.length) : subject;
  return `${who} ${step} ${shownDetail(detail)}`.trimEnd();
}

function cut(text: string, length: number): string {
  return text.length <= length ? text : `${text.slice(0, Math.max(0, length - 2))}..`;
}

function axis(length: number, width: number): string {
  const step = axisStep(length, Math.floor(width / 9));
  let text = "";
  for (let at = 0; at <= length; at += step) {
    const column = position(at, length, width);
    const mark = Number(at.toPrecision(6)).toString();
    if (column >= text.length && column + mark.length <= width) text = text.padEnd(column) + mark;
  }
  return text.padEnd(width);
}

function bar({ begin, lasted }: Row, length: number, width: number): string {
  const first = Math.min(width - 1, position(begin, length, width));
  if (lasted === 0) return `${" ".repeat(first)}*`.padEnd(width);
  // Whatever lasted is seen.
  const last = Math.min(width, Math.max(first + 1, Math.round(((begin + lasted) / length) * width)));
  return `${" ".repeat(first)}${"=".repeat(last - first)}`.padEnd(width);
}

function position(at: number, length: number, width: number): number {
  return length === 0 ? 0 : Math.floor((at / length) * width);
}
