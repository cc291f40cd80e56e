import { visibleLine } from "../visible.ts";
import type { Milestones } from "./timeline.ts";

/** What a trace is of: a guest, or a log that was kept. */
export interface TraceSubject {
  readonly guest?: string;
  readonly kind?: string;
  /** ISO 8601. */
  readonly created?: string;
  readonly image?: string;
  /** The file of a log that was kept. */
  readonly file?: string;
}

export function titleOf({ guest, file }: TraceSubject): string {
  return visibleLine(guest === undefined ? `Boot in ${file ?? "a log"}` : `Boot of guest ${guest}`);
}

export function factsOf({ kind, created, image }: TraceSubject): readonly string[] {
  return [kind, created, image].flatMap((fact) => (fact === undefined ? [] : [visibleLine(fact)]));
}

/** A milestone: what it is called, and its time. */
export type MilestoneText = readonly [text: string, milliseconds: number];

/** The milestones in their order, by what they are counted from. */
export function milestoneTexts(
  milestones: Milestones,
): readonly (readonly [from: string, texts: readonly MilestoneText[]])[] {
  const { componentsReady, agentListening, agentAnswering, firstOutput } = milestones;
  const since: readonly (readonly [from: string, texts: readonly (readonly [string, number | undefined])[]])[] = [
    [
      "init began",
      [
        ["components ready", componentsReady],
        ["agent listening", agentListening],
        ["agent answering", agentAnswering],
        ["first output", firstOutput],
      ],
    ],
    ["power-on", [["agent answering", milestones.powerOnToAnswering]]],
    ["the kernel's end", [["agent answering", milestones.handOverToAnswering]]],
  ];
  return since.flatMap(([from, texts]) => {
    const known = texts.flatMap(([text, value]) => (value === undefined ? [] : [[text, value] as const]));
    return known.length === 0 ? [] : [[from, known] as const];
  });
}

/** Milliseconds for people: whole ones from ten on. */
export function shownMilliseconds(value: number): string {
  return value < 10 ? value.toFixed(1) : Math.round(value).toString();
}

/** A detail for people: of the long numbers that containers have, the beginning tells them apart. */
export function shownDetail(detail: string): string {
  return visibleLine(detail).replaceAll(/\b[0-9a-f]{64}\b/gu, (id) => id.slice(0, 8));
}

/** Round distances for an axis, such that at most `most` fit. */
export function axisStep(length: number, most: number): number {
  const rough = Math.max(length / Math.max(1, most), 1e-3);
  const power = 10 ** Math.floor(Math.log10(rough));
  const factor = [1, 2, 5, 10].find((candidate) => candidate * power >= rough * (1 - 1e-9)) ?? 10;
  return factor * power;
}
