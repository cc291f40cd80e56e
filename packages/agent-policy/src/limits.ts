/** Bounds on what the host may hand in as a policy (section 4 of the agent's spec) and on what it may cost. */
export interface PolicyLimits {
  /** Bytes of one policy file. 16 MiB, as upstream's engine has it. */
  readonly maxFileBytes: number;
  /** Bytes of one line. 64 KiB; generated policies stay far below, and positions in refusals stay readable. */
  readonly maxLineBytes: number;
  /** Lines of one file. */
  readonly maxLines: number;
  /**
   * Milliseconds of one evaluation, without the time in which others had their turn. Real policies take 3 to 60, and an
   * emulated processor is fifty times slower; requests wait for the one before them, so it ends well before a runtime
   * gives one up (60 s).
   */
  readonly evaluationMs: number;
  /**
   * Milliseconds of any one call into the engine, parsing included. Above `evaluationMs`, because it costs the
   * instance: the engine's own timer is to be first wherever it is asked.
   */
  readonly deadlineMs: number;
  /** Milliseconds after which a call lets the rest of the agent have its turn: most decisions take less. */
  readonly sliceMs: number;
  /** Bytes by which an instance may have grown before it is replaced by a new one after the call. */
  readonly maxGrowthBytes: number;
  /** UTF-16 units of the state as JSON. State is a few hundred bytes a container. */
  readonly maxStateLength: number;
  /** UTF-16 units of all that `print` said and that goes back with a refusal; a reply has to stay below 4 MiB. */
  readonly maxPrintsLength: number;
  /** UTF-16 units of a value that is no verdict, in the error about it. */
  readonly maxDebugLength: number;
}

export const DEFAULT_LIMITS: PolicyLimits = {
  maxFileBytes: 16 * 1024 * 1024,
  maxLineBytes: 64 * 1024,
  maxLines: 200_000,
  evaluationMs: 5_000,
  deadlineMs: 10_000,
  sliceMs: 5,
  maxGrowthBytes: 64 * 1024 * 1024,
  maxStateLength: 4 * 1024 * 1024,
  maxPrintsLength: 256 * 1024,
  maxDebugLength: 64 * 1024,
};

/** What is wrong with the size of a policy, or undefined. */
export function overLimit(text: string, limits: PolicyLimits): string | undefined {
  const bytes = Buffer.byteLength(text);
  if (bytes > limits.maxFileBytes) return `expected a policy of at most ${limits.maxFileBytes} bytes, got ${bytes}`;
  let lines = 0;
  for (let start = 0; start <= text.length;) {
    const found = text.indexOf("\n", start);
    const end = found < 0 ? text.length : found;
    lines += 1;
    if (lines > limits.maxLines) return `expected a policy of at most ${limits.maxLines} lines`;
    // A line of n characters has n to 3n bytes; counted only where it could matter.
    if ((end - start) * 3 > limits.maxLineBytes) {
      const length = Buffer.byteLength(text.slice(start, end));
      if (length > limits.maxLineBytes)
        return `expected lines of at most ${limits.maxLineBytes} bytes, line ${lines} has ${length}`;
    }
    start = end + 1;
  }
  return undefined;
}

/** The prints up to the limit; the one that goes over it is cut. */
export function boundPrints(prints: readonly string[], limits: PolicyLimits): string[] {
  const kept: string[] = [];
  let left = limits.maxPrintsLength;
  for (const print of prints) {
    if (left <= 0) break;
    kept.push(print.slice(0, left));
    left -= print.length + 1;
  }
  return kept;
}
