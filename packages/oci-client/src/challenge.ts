import { OciError } from "./error.ts";

/** One challenge of a `WWW-Authenticate` header (RFC 9110 section 11.6.1). Names are in lower case. */
export interface Challenge {
  readonly scheme: string;
  readonly parameters: ReadonlyMap<string, string>;
}

/** Registries send one or two short challenges. */
const MAX_HEADER = 8192;

const TOKEN = /[!#$%&'*+.^_`|~0-9A-Za-z-]+/y;
const QUOTED = /"((?:[^"\\]|\\.)*)"/y;

/** @throws OciError `registry` when the header is too long or has no challenge. */
export function parseChallenges(header: string): readonly Challenge[] {
  if (header.length > MAX_HEADER) throw new OciError("registry", `WWW-Authenticate longer than ${MAX_HEADER} bytes`);
  const challenges: { scheme: string; parameters: Map<string, string> }[] = [];
  let at = 0;
  const take = (pattern: RegExp): RegExpExecArray | null => {
    pattern.lastIndex = at;
    const match = pattern.exec(header);
    if (match !== null) at = pattern.lastIndex;
    return match;
  };
  while (at < header.length) {
    if (take(/[ \t,]+/y) !== null) continue;
    const word = take(TOKEN)?.[0];
    if (word === undefined) break;
    // `name=value` belongs to the challenge before; a word alone starts the next one.
    const last = challenges.at(-1);
    if (take(/[ \t]*=[ \t]*/y) === null || last === undefined) {
      challenges.push({ scheme: word.toLowerCase(), parameters: new Map() });
      continue;
    }
    const quoted = take(QUOTED)?.[1];
    last.parameters.set(word.toLowerCase(), quoted?.replaceAll(/\\(.)/g, "$1") ?? take(TOKEN)?.[0] ?? "");
  }
  if (challenges.length === 0)
    throw new OciError("registry", "the registry asked for credentials without saying which");
  return challenges;
}
