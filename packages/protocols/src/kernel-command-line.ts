/** One parameter: `key=value`, or a bare word, whose value is undefined. */
export interface KernelParameter {
  readonly key: string;
  readonly value: string | undefined;
}

/** A parsed kernel command line. Keys may repeat; who reads one decides which counts. */
export interface KernelCommandLine {
  readonly parameters: readonly KernelParameter[];
  /** What follows the first bare `--`, for init and not for us. */
  readonly initArguments: readonly KernelParameter[];
  /** Values of a key, in order; undefined for each bare occurrence. */
  values(key: string): readonly (string | undefined)[];
  /** The value that counts where the last one wins; undefined when there is none or it is bare. */
  last(key: string): string | undefined;
  /** Whether the key occurs, bare or with a value. */
  has(key: string): boolean;
}

/**
 * Parses a kernel command line with the kernel's own quoting (lib/cmdline.c): double quotes keep white space together;
 * they are dropped where they enclose a whole token or a whole value, and stay elsewhere; there is no escape. So a token
 * inside quotes is never a key, and `dm-mod.create="… agent.log=debug"` sets one parameter.
 * Total and linear: any text parses, and the kernel has already cut the line to its own limit.
 */
export function parseKernelCommandLine(text: string): KernelCommandLine {
  const parameters: KernelParameter[] = [];
  const initArguments: KernelParameter[] = [];
  let into = parameters;
  let at = skipSpaces(text, 0);
  while (at < text.length) {
    const token = tokenAt(text, at);
    at = skipSpaces(text, token.next);
    if (into === parameters && token.value === undefined && token.key === "--") into = initArguments;
    else into.push({ key: token.key, value: token.value });
  }
  const values = (key: string): (string | undefined)[] => parameters.filter((p) => p.key === key).map((p) => p.value);
  return {
    parameters,
    initArguments,
    values,
    last: (key) => values(key).at(-1),
    has: (key) => parameters.some((p) => p.key === key),
  };
}

function tokenAt(text: string, start: number): KernelParameter & { readonly next: number } {
  const quoted = text[start] === '"';
  const first = quoted ? start + 1 : start;
  let inQuotes = quoted;
  let equals = -1;
  let end = first;
  for (; end < text.length; end++) {
    const c = text.charCodeAt(end);
    if (!inQuotes && isSpace(c)) break;
    // An equals sign that begins a token belongs to the key.
    if (equals < 0 && c === EQUALS && end > first) equals = end;
    if (c === QUOTE) inQuotes = !inQuotes;
  }
  let stop = end;
  let valueStart = equals + 1;
  if (equals >= 0 && text.charCodeAt(valueStart) === QUOTE && valueStart < end) {
    valueStart++;
    if (stop > valueStart && text.charCodeAt(stop - 1) === QUOTE) stop--;
  }
  if (quoted && stop === end && stop > first && text.charCodeAt(stop - 1) === QUOTE) stop--;
  return equals < 0
    ? { key: text.slice(first, stop), value: undefined, next: end }
    : { key: text.slice(first, equals), value: text.slice(valueStart, Math.max(valueStart, stop)), next: end };
}

const QUOTE = 0x22;
const EQUALS = 0x3d;

/** The kernel's isspace: ASCII white space and Latin-1's no-break space. */
function isSpace(c: number): boolean {
  return c === 0x20 || (c >= 0x09 && c <= 0x0d) || c === 0xa0;
}

function skipSpaces(text: string, start: number): number {
  let at = start;
  while (at < text.length && isSpace(text.charCodeAt(at))) at++;
  return at;
}
