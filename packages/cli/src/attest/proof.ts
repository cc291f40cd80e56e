import { tierOf, TRUST_CLAIMS, type TrustTier } from "@nacre/trustee";

import { NacreError } from "../error.ts";

/** A JSON object of unknown content. */
export type Fields = Readonly<Record<string, unknown>>;

/** What was proven, ready to be shown. */
export interface Proof {
  /** Where it comes from: a guest, a file. */
  readonly subject: string;
  /** What holds for all of it, the worst first: who vouches, and what nobody does. */
  readonly remarks: readonly Remark[];
  readonly facts: readonly (readonly [name: string, value: string])[];
  readonly devices: readonly ProvenDevice[];
}

export interface Remark {
  readonly tone: "bad" | "good";
  readonly text: string;
}

/** One submodule of a token. */
export interface ProvenDevice {
  readonly name: string;
  readonly status: string;
  readonly policy: string;
  readonly vector: readonly { readonly claim: string; readonly value: number; readonly tier: TrustTier }[];
  readonly references: readonly ReferenceRow[];
  /** Leaves of the evidence's claims, by their paths; the event log is apart. */
  readonly claims: readonly (readonly [path: string, value: string])[];
  readonly events: readonly EventRow[];
}

export interface ReferenceRow {
  readonly name: string;
  /** JSON; undefined where nobody registered one. */
  readonly expected: string | undefined;
  /** JSON of the claim that the name speaks of; undefined where no claim is called so. */
  readonly found: string | undefined;
  readonly agrees: boolean | undefined;
}

export interface EventRow {
  readonly register: number;
  readonly type: string;
  readonly digest: string;
  readonly text: string;
}

/** Rows that are shown of one table; a log may have tens of thousands. */
const MAX_ROWS = 4096;
const MAX_TEXT = 512;
const EVIDENCE = "ear.veraison.annotated-evidence";
const EVENT_LOG = "uefi_event_logs";

export function isFields(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Devices of a token's claims. `references`: values by name, null for those that nobody registered. Throws `input`. */
export function devicesOf(claims: Fields, references: ReadonlyMap<string, Fields>): readonly ProvenDevice[] {
  const { submods } = claims;
  if (!isFields(submods)) throw new NacreError("input", "token: expected submodules among its claims");
  return Object.entries(submods).map(([name, part]) => {
    if (!isFields(part)) throw new NacreError("input", "token: expected an object for each submodule");
    const evidence = part[EVIDENCE];
    const vector = part["ear.trustworthiness-vector"];
    const leaves = leavesOf(evidence);
    return {
      name,
      status: shown(part["ear.status"]),
      policy: shown(part["ear.appraisal-policy-id"]),
      vector: TRUST_CLAIMS.flatMap((claim) => {
        const value = isFields(vector) ? vector[claim] : undefined;
        return typeof value === "number" ? [{ claim, value, tier: tierOf(value) }] : [];
      }),
      references: referenceRows(references.get(name) ?? references.get("") ?? {}, leaves),
      claims: leaves
        .filter(([path]) => !path.includes(EVENT_LOG))
        .map(([path, value]) => [path, shown(value)] as const),
      events: eventsOf(evidence),
    };
  });
}

/** Which of the expected values a claim has: by the name, as default policies call them. */
function referenceRows(references: Fields, leaves: readonly Leaf[]): readonly ReferenceRow[] {
  return Object.entries(references)
    .slice(0, MAX_ROWS)
    .map(([name, expected]) => {
      const found = leaves.find(([path]) => speaksOf(name, path))?.[1];
      const known = expected !== null && expected !== undefined;
      return {
        name,
        expected: known ? shown(expected) : undefined,
        found: found === undefined ? undefined : shown(found),
        agrees: !known || found === undefined ? undefined : agrees(name, expected, found),
      };
    });
}

/** "snp_launch_measurement" is about "snp.measurement", "tdx_pcr11" about "tpm.pcr11", "svn" about "sample.svn". */
function speaksOf(name: string, path: string): boolean {
  if (name === "trusted_aks") return path.endsWith("ak_public");
  const leaf = (path.split(".").at(-1) ?? "").toLowerCase();
  const lower = name.toLowerCase();
  const rest = lower.replace(/^[a-z]+_/u, "");
  return leaf === lower || leaf === rest || lower.endsWith(`_${leaf}`) || leaf.endsWith(`_${rest}`);
}

/** A list names what is allowed, one value what is expected or, where the name says so, the least. */
function agrees(name: string, expected: unknown, found: unknown): boolean {
  if (Array.isArray(expected)) return expected.some((one) => same(one, found));
  if (name.startsWith("minimum_")) return Number(found) >= Number(expected);
  return same(expected, found);
}

function same(expected: unknown, found: unknown): boolean {
  return String(expected).toLowerCase() === String(found).toLowerCase();
}

type Leaf = readonly [path: string, value: unknown];

function leavesOf(value: unknown, path = ""): readonly Leaf[] {
  const leaves: Leaf[] = [];
  const walk = (at: unknown, name: string): void => {
    if (leaves.length >= MAX_ROWS) return;
    if (Array.isArray(at) && at.some((one) => typeof one === "object" && one !== null)) {
      at.forEach((one, index) => walk(one, `${name}[${index}]`));
    } else if (isFields(at)) {
      for (const [member, one] of Object.entries(at)) walk(one, name === "" ? member : `${name}.${member}`);
    } else leaves.push([name, at]);
  };
  walk(value, path);
  return leaves;
}

/** The measured log among a device's claims, wherever the kind of evidence has it. */
function eventsOf(evidence: unknown): readonly EventRow[] {
  if (!isFields(evidence)) return [];
  for (const part of Object.values(evidence)) {
    if (isFields(part) && Array.isArray(part[EVENT_LOG])) return eventRows(part[EVENT_LOG]);
  }
  return [];
}

export function eventRows(events: readonly unknown[]): readonly EventRow[] {
  return events.slice(0, MAX_ROWS).flatMap((event) => {
    if (!isFields(event)) return [];
    const { index, type_name: type, digests, details } = event;
    const last: unknown = Array.isArray(digests) ? digests.at(-1) : undefined;
    const digest = isFields(last) ? `${shown(last["alg"])} ${shown(last["digest"])}` : "";
    const text = details === undefined || details === null ? "" : shown(details);
    return [{ register: typeof index === "number" ? index : Number.NaN, type: shown(type), digest, text }];
  });
}

/** JSON, but for texts; cut. */
export function shown(value: unknown): string {
  const text =
    typeof value === "string"
      ? value
      : (JSON.stringify(value, (_, member: unknown) => (typeof member === "bigint" ? member.toString() : member)) ??
        "");
  return text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT)}… (${text.length} characters)` : text;
}

/** Whether every device was affirmed, and something vouches for it. */
export function isProven({ devices, remarks }: Proof): boolean {
  return (
    devices.length > 0 &&
    devices.every(({ status }) => status === "affirming") &&
    remarks.every(({ tone }) => tone === "good")
  );
}
