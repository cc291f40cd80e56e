import { KbsProtocolError, parseStrictJson } from "@nacre/kbs-protocol";

import { RestError } from "./error.ts";

/** What a container wants in the event log. */
export interface AaelEvent {
  readonly domain: string;
  readonly operation: string;
  readonly content: string;
}

/** Throws RestError `request`; what follows the sentence's start is ours, upstream's is its parser's. */
export function parseAaelEvent(body: Buffer): AaelEvent {
  const refused = (problem: string): RestError => new RestError("request", `Illegal AAEL eventry format: ${problem}`);
  let value: unknown;
  try {
    value = parseStrictJson(body.toString("utf8"), "event");
  } catch (error) {
    if (!(error instanceof KbsProtocolError)) throw error;
    throw refused(error.message);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw refused("expected an object");
  const members = value as Readonly<Record<string, unknown>>;
  const text = (name: keyof AaelEvent): string => {
    const member = Object.hasOwn(members, name) ? members[name] : undefined;
    if (member === undefined) throw refused(`missing field \`${name}\``);
    if (typeof member !== "string") throw refused(`expected a string as ${name}`);
    return member;
  };
  return { domain: text("domain"), operation: text("operation"), content: text("content") };
}
