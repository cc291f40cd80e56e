import { fromBase64 } from "./base64.ts";
import { OcicryptError } from "./error.ts";
import { type Fields, fields, parseFields } from "./fields.ts";

/** Of a message: a packet or a layer's options in base64, and parameters. */
const MAX_MESSAGE: number = 1024 * 1024;

const INPUT = "key provider input";

/** What `UnWrapKey` is asked: the packet's JSON. Both parameter objects must be there (upstream requires them). */
export function parseUnwrapInput(input: Uint8Array): string {
  const message = parse(input);
  fields(message["keywrapparams"], "keywrapparams");
  const params = fields(message["keyunwrapparams"], "keyunwrapparams");
  return fromBase64(params["annotation"], "annotation").toString();
}

/** What `WrapKey` is asked: a layer's options, and the parameters that were given for this provider. */
export interface WrapInput {
  readonly options: Buffer;
  /** Texts behind `provider:NAME:`, one for each. */
  readonly parameters: readonly string[];
}

/** The caller zeroes the options. Throws OcicryptError `message`. */
export function parseWrapInput(input: Uint8Array, provider: string): WrapInput {
  const params = fields(parse(input)["keywrapparams"], "keywrapparams");
  const given = fields(fields(params["ec"], "ec")["Parameters"], "Parameters")[provider];
  if (!Array.isArray(given)) throw new OcicryptError("message", `${INPUT}: expected parameters of ${provider}`);
  return {
    options: fromBase64(params["optsdata"], "optsdata"),
    parameters: given.map((one: unknown) => fromBase64(one, "parameter").toString()),
  };
}

function parse(input: Uint8Array): Fields {
  if (input.length > MAX_MESSAGE) throw new OcicryptError("message", `${INPUT}: expected at most ${MAX_MESSAGE} bytes`);
  return parseFields(Buffer.from(input).toString(), INPUT);
}

/** `{"keyunwrapresults":{"optsdata":[…]}}`, numbers because ocicrypt-rs takes nothing else. The caller zeroes it. */
export function formatUnwrapOutput(options: Uint8Array): Buffer {
  return numbers('{"keyunwrapresults":{"optsdata":[', options);
}

/** `{"keywrapresults":{"annotation":[…]}}`. */
export function formatWrapOutput(packet: string): Buffer {
  return numbers('{"keywrapresults":{"annotation":[', Buffer.from(packet));
}

const ZERO = 0x30;
const COMMA = 0x2c;

/** Written byte by byte: what was unwrapped is never a text, which could not be wiped. */
function numbers(head: string, bytes: Uint8Array): Buffer {
  const out = Buffer.alloc(head.length + 4 * bytes.length + 3);
  let at = out.write(head, "latin1");
  for (const [index, byte] of bytes.entries()) {
    if (index > 0) out[at++] = COMMA;
    if (byte >= 100) out[at++] = ZERO + Math.floor(byte / 100);
    if (byte >= 10) out[at++] = ZERO + (Math.floor(byte / 10) % 10);
    out[at++] = ZERO + (byte % 10);
  }
  at += out.write("]}}", at, "latin1");
  return out.subarray(0, at);
}

/** What `UnWrapKey` answered. The caller zeroes it. Throws OcicryptError `message`. */
export function parseUnwrapOutput(output: Uint8Array): Buffer {
  return bytesOf(fields(parseOutput(output)["keyunwrapresults"], "keyunwrapresults")["optsdata"], "optsdata");
}

function parseOutput(output: Uint8Array): Fields {
  const what = "key provider output";
  if (output.length > 4 * MAX_MESSAGE) throw new OcicryptError("message", `${what}: expected less`);
  return parseFields(Buffer.from(output).toString(), what);
}

/** An array of numbers, or base64 as Go writes bytes. */
function bytesOf(value: unknown, what: string): Buffer {
  if (typeof value === "string") return fromBase64(value, what);
  const isByte = (one: unknown): boolean => typeof one === "number" && Number.isInteger(one) && one >= 0 && one < 256;
  if (!Array.isArray(value) || !value.every(isByte)) throw new OcicryptError("message", `${what}: expected bytes`);
  return Buffer.from(value as number[]);
}
