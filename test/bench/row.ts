/** One line of the bench: our figure beside a peer's, measured side by side in one run. */
export interface BenchRow {
  /** What was measured, and how. */
  readonly name: string;
  /** Our figure; null when it could not be taken. */
  readonly ours: number | null;
  /** The peer's figure; null when the peer is not installed. */
  readonly peer: number | null;
  /** `ours / peer`; null when one is missing. */
  readonly ratio: number | null;
  /** What is asked for, as text: `ratio >= 1.3`, `ours <= 60`. */
  readonly target: string;
  /** Unit of `ours` and `peer`. */
  readonly unit: string;
  /** Whether the target is met; null when it cannot be told. */
  readonly met: boolean | null;
  /** Anything that a reader of the figure must know. */
  readonly note?: string;
}

/** A row whose target is a bound on the ratio. */
export function ratioRow(
  name: string,
  unit: string,
  figures: { readonly ours: number | null; readonly peer: number | null },
  bound: { readonly atLeast: number } | { readonly atMost: number },
  note?: string,
): BenchRow {
  const { ours, peer } = figures;
  const ratio = ours === null || peer === null ? null : ours / peer;
  const [target, met] =
    "atLeast" in bound
      ? [`ratio >= ${bound.atLeast}`, ratio === null ? null : ratio >= bound.atLeast]
      : [`ratio <= ${bound.atMost}`, ratio === null ? null : ratio <= bound.atMost];
  return { name, ours, peer, ratio, target, unit, met, ...(note === undefined ? {} : { note }) };
}

/** The middle of some figures; of an even number the lower middle. */
export function median(figures: readonly number[]): number {
  const sorted = figures.toSorted((a, b) => a - b);
  return sorted[(sorted.length - 1) >> 1] ?? NaN;
}
