import { stringifyLossless } from "@nacre/protocols";

import { TrusteeError } from "../error.ts";
import { type Fields, FieldReader, isFields } from "../fields.ts";
import { parseJson } from "../json.ts";
import { RegoCache } from "../policy/rego-cache.ts";
import type { RegoPolicy, RegorusModule } from "../policy/rego.ts";
import type { ReferenceValueQuery } from "../rvps/reference-values.ts";

/** Claims of AR4SI, in the order that a token has them. */
export const TRUST_CLAIMS = [
  "instance-identity",
  "configuration",
  "executables",
  "file-system",
  "hardware",
  "runtime-opaque",
  "storage-opaque",
  "sourced-data",
] as const;
export type TrustClaim = (typeof TRUST_CLAIMS)[number];
export type TrustVector = Readonly<Partial<Record<TrustClaim, number>>>;
export type TrustTier = "affirming" | "contraindicated" | "none" | "warning";

/** What a policy makes of evidence. */
export interface Appraisal {
  readonly vector: TrustVector;
  readonly status: TrustTier;
  /** Further claims of the submodule, by name. */
  readonly extensions: ReadonlyMap<string, unknown>;
  /** Names of the reference values that were asked for, and what was found. */
  readonly referenceValues: Fields;
}

const RULES = ["data.policy.trust_claims", "data.policy.extensions"] as const;
/** What policies call. It tells us by a print which values it lacks; they are fetched, and the policy asked again. */
const MISSING = "reference value wanted:";
const FUNCTION = `package policy

import rego.v1

query_reference_value(name) := data.nacre_reference_values[name] if {
	name in object.keys(data.nacre_reference_values)
} else := null if {
	print("${MISSING}", json.marshal(name))
}
`;
/** Values that one policy may ask for. */
const MAX_VALUES = 1024;
const MAX_EXTENSIONS = 64;

/** Appraises evidence by policies that ask for reference values. */
export class Appraiser {
  readonly #policies: RegoCache;
  readonly #values: ReferenceValueQuery;
  /**
   * Names that each policy asked for the last time. They are fetched afresh each time, so that what changed counts at
   * once. A policy may make names of evidence: those of one guest must not fill the bound of another.
   */
  readonly #names = new WeakMap<RegoPolicy, ReadonlySet<string>>();

  constructor(module: RegorusModule, values: ReferenceValueQuery) {
    this.#policies = new RegoCache(module, [["query_reference_value.rego", FUNCTION]]);
    this.#values = values;
  }

  /** `evidence`: the annotated evidence that is the policy's input. Rejects with `policy` or `storage`. */
  async appraise(name: string, policy: string, evidence: Fields): Promise<Appraisal> {
    const rego = this.#policies.get(name, policy);
    const input = stringifyLossless(evidence);
    let names = new Set(this.#names.get(rego));
    let remembered = names.size;
    for (;;) {
      const referenceValues = await this.#fetch(names);
      const data = stringifyLossless({ nacre_reference_values: referenceValues });
      const { values, prints } = await rego.ask({ rules: RULES, input, data });
      const missing = prints.flatMap(wantedName).filter((wanted) => !names.has(wanted));
      if (missing.length === 0) {
        this.#names.set(rego, names);
        return { ...readVector(name, values[0]), extensions: readExtensions(name, values[1]), referenceValues };
      }
      for (const wanted of missing) names.add(wanted);
      if (names.size <= MAX_VALUES) continue;
      if (remembered === 0)
        throw new TrusteeError("policy", `${name}: expected at most ${MAX_VALUES} reference values`);
      names = new Set();
      remembered = 0;
    }
  }

  async #fetch(names: ReadonlySet<string>): Promise<Fields> {
    const found = await Promise.all([...names].map(async (name) => [name, (await this.#query(name)) ?? null] as const));
    return Object.fromEntries(found);
  }

  /** A name that storage cannot have is one that no value has. */
  async #query(name: string): Promise<unknown> {
    try {
      return await this.#values.query(name);
    } catch (cause) {
      if (cause instanceof TrusteeError && cause.code === "request") return undefined;
      throw cause;
    }
  }
}

function wantedName(line: string): readonly string[] {
  const at = line.indexOf(MISSING);
  if (at < 0) return [];
  try {
    const name: unknown = JSON.parse(line.slice(at + MISSING.length));
    return typeof name === "string" ? [name] : [];
  } catch {
    return [];
  }
}

function readVector(
  policy: string,
  value: string | undefined,
): { readonly vector: TrustVector; readonly status: TrustTier } {
  // A policy that makes no claims asserts nothing.
  if (value === undefined) return { vector: Object.fromEntries(TRUST_CLAIMS.map((name) => [name, 0])), status: "none" };
  const claims = parseJson(value, `${policy}: trust_claims`, "policy");
  if (!isFields(claims)) throw new TrusteeError("policy", `${policy}: expected an object of trust_claims`);
  const entries = Object.entries(claims).map(([name, number]): readonly [TrustClaim, number] => {
    const known = TRUST_CLAIMS.find((claim) => claim === name);
    if (known === undefined)
      throw new TrusteeError("policy", `${policy}: expected a trust claim of AR4SI, got ${JSON.stringify(name)}`);
    if (typeof number !== "number" || !Number.isInteger(number) || number < -128 || number > 127) {
      throw new TrusteeError("policy", `${policy}: expected an integer of 8 bits for ${name}`);
    }
    return [known, number];
  });
  if (entries.length === 0) throw new TrusteeError("policy", `${policy}: expected at least one trust claim`);
  const given = new Map(entries);
  const vector = Object.fromEntries(TRUST_CLAIMS.flatMap((name) => (given.has(name) ? [[name, given.get(name)]] : [])));
  return { vector, status: worstTier([...given.values()]) };
}

const TIERS: readonly TrustTier[] = ["none", "affirming", "warning", "contraindicated"];

/** The tier of a claim's value (draft-ietf-rats-ar4si 2.3.2). */
export function tierOf(value: number): TrustTier {
  if (value >= -1 && value <= 1) return "none";
  if (value >= -32 && value <= 31) return "affirming";
  return value >= -96 && value <= 95 ? "warning" : "contraindicated";
}

function worstTier(values: readonly number[]): TrustTier {
  return TIERS[Math.max(...values.map((value) => TIERS.indexOf(tierOf(value))))] ?? "contraindicated";
}

/** Names of a submodule's own claims; an extension may not take their place. */
const RESERVED: ReadonlySet<string> = new Set([
  "ear.status",
  "ear.trustworthiness-vector",
  "ear.appraisal-policy-id",
  "ear.veraison.annotated-evidence",
]);

function readExtensions(policy: string, value: string | undefined): ReadonlyMap<string, unknown> {
  const extensions = new Map<string, unknown>();
  if (value === undefined) return extensions;
  const list = parseJson(value, `${policy}: extensions`, "policy");
  if (!Array.isArray(list) || list.length > MAX_EXTENSIONS) {
    throw new TrusteeError("policy", `${policy}: expected a list of at most ${MAX_EXTENSIONS} extensions`);
  }
  for (const entry of list) {
    const reader = new FieldReader(entry, `${policy}: extensions`, "policy");
    const name = reader.text("name");
    if (!Number.isSafeInteger(reader.get("key"))) reader.fail("key", "an integer", reader.get("key"));
    if (RESERVED.has(name) || extensions.has(name))
      throw reader.error("name", `expected a new one, got ${JSON.stringify(name)}`);
    extensions.set(name, reader.get("value"));
  }
  return extensions;
}
