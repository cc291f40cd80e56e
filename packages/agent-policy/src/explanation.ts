import { parseLossless, stringifyLossless } from "@nacre/protocols";

import type { Json } from "./json-patch.ts";

/** A part of a condition, as the policy writes it, and what it was. */
export interface Operand {
  readonly text: string;
  /** Undefined where it is undefined. */
  readonly value: Json | undefined;
  /** `actual` for what is in the request and the other part is not, `expected` for the other part. */
  readonly role?: "actual" | "expected";
}

/** A condition on the way to the one that failed, or that one itself, which is the last. */
export interface Step {
  /** The rule or function of the policy that the condition is in. */
  readonly rule: string;
  /** The line of the policy, from 1. */
  readonly line: number;
  readonly text: string;
  readonly operands: readonly Operand[];
}

/** Why a rule did not hold. */
export interface Explanation {
  readonly rule: string;
  readonly file: string;
  readonly steps: readonly Step[];
}

/** Characters of a value that are told. */
const MAX_VALUE = 400;
/** An assignment of the environment; what it assigns may be a secret. */
const ASSIGNMENT = /^([A-Za-z_][\w.-]*)=/u;
const REDACTED = "<redacted>";
/** Characters from which on a value is looked for within other texts: shorter ones are in every other word. */
const MIN_WITHIN = 4;
/** Characters from which on a piece of a value is one, and not a word that happens to be in it. */
const MIN_PIECE = 8;

/** What the engine tells of a rule and its input, as a value. */
export function parseExplanation(rule: string, file: string, json: string, inputJson: string): Explanation {
  const steps = parseLossless(json) as readonly Step[];
  const input = parseLossless(inputJson) as Json;
  return {
    rule,
    file,
    steps: steps.map(({ rule: path, line, text, operands }) => ({
      rule: path.slice(path.lastIndexOf(".") + 1),
      line,
      text,
      operands: withRoles(operands, input),
    })),
  };
}

/** Of two parts, the one that the request holds is what it is, and the other what it should be. */
function withRoles(operands: readonly Operand[], input: Json): readonly Operand[] {
  if (operands.length !== 2) return operands;
  const [inRequest, otherInRequest] = operands.map(({ value }) => value !== undefined && holds(input, value));
  if (inRequest === otherInRequest) return operands;
  return operands.map((operand, i) => ({ ...operand, role: (i === 0) === inRequest ? "actual" : "expected" }));
}

function holds(document: Json, value: Json): boolean {
  const wanted = stringifyLossless(value);
  const visit = (at: Json): boolean => {
    if (stringifyLossless(at) === wanted) return true;
    if (Array.isArray(at)) return at.some(visit);
    return typeof at === "object" && at !== null && Object.values(at).some(visit);
  };
  return visit(document);
}

/**
 * Without values of environment variables: what assigns one, and what one assigns, wherever it stands, alone, in a longer
 * text, or in pieces that are long enough to tell something.
 */
export function redactEnvironment(explanation: Explanation, inputJson: string): Explanation {
  const secrets = environmentValues(parseLossless(inputJson) as Json);
  const redact = (value: Json): Json => {
    if (typeof value === "string") return redactText(value, secrets);
    if (typeof value === "number" || typeof value === "bigint") {
      const text = String(value);
      return text.length >= MIN_PIECE && secrets.includes(text) ? REDACTED : value;
    }
    if (Array.isArray(value)) return value.map(redact);
    if (typeof value !== "object" || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [redactText(key, secrets), redact(inner)]));
  };
  return {
    ...explanation,
    steps: explanation.steps.map((step) => ({
      ...step,
      operands: step.operands.map((operand) =>
        operand.value === undefined ? operand : { ...operand, value: redact(operand.value) },
      ),
    })),
  };
}

function redactText(text: string, secrets: readonly string[]): string {
  if (secrets.includes(text)) return REDACTED;
  const [assignment] = ASSIGNMENT.exec(text) ?? [];
  if (assignment !== undefined) return `${assignment}${REDACTED}`;
  if (text.length >= MIN_PIECE && secrets.some((secret) => secret.includes(text))) return REDACTED;
  let told = text;
  for (const secret of secrets) if (secret.length >= MIN_WITHIN) told = told.replaceAll(secret, REDACTED);
  return told;
}

/** What the request's environments assign. */
function environmentValues(input: Json): readonly string[] {
  const values = new Set<string>();
  const visit = (at: Json, key: string): void => {
    if (Array.isArray(at)) {
      for (const item of at) {
        if (key === "Env" && typeof item === "string") values.add(item.slice(item.indexOf("=") + 1));
        else visit(item, key);
      }
    } else if (typeof at === "object" && at !== null) {
      for (const [name, value] of Object.entries(at)) visit(value, name);
    }
  };
  visit(input, "");
  values.delete("");
  // One that is a part of another comes after it.
  return [...values].sort((a, b) => b.length - a.length);
}

/** The explanation as lines: each condition with its place, and below the last one what it was about. */
export function explanationLines({ file, steps }: Explanation): readonly string[] {
  return steps.flatMap(({ rule, line, text, operands }, i) => {
    const last = i === steps.length - 1;
    const where = `${file}:${line}: ${text}${last ? "  is not so" : ""}  (in ${rule})`;
    return last ? [where, ...operands.map((operand) => `  ${operandLine(operand)}`)] : [where];
  });
}

function operandLine({ text, value, role }: Operand): string {
  const told = value === undefined ? "undefined" : stringifyLossless(value);
  const cut = told.length > MAX_VALUE ? `${told.slice(0, MAX_VALUE)}…` : told;
  return `${role === undefined ? "" : `${role} `}${text}: ${cut}`;
}
