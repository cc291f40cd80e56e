import { createHash } from "node:crypto";

import { parse, TomlError } from "smol-toml";

import { KbsProtocolError } from "../error.ts";

/** The only version that there is. */
export const INITDATA_VERSION = "0.1.0";

/** Hash algorithms by their names in documents, and the length of a digest in bytes. */
export const INITDATA_ALGORITHMS = { sha256: 32, sha384: 48, sha512: 64 } as const;
export type InitdataAlgorithm = keyof typeof INITDATA_ALGORITHMS;

/** Bytes of a document. A runtime hands it to a hypervisor in one message of at most 4 MiB. */
export const MAX_DOCUMENT: number = 4 * 1024 * 1024;

/** Keys that guests know; others are kept, and used by nobody. */
export const InitdataKey = {
  ATTESTATION_AGENT: "aa.toml",
  DATA_HUB: "cdh.toml",
  POLICY: "policy.rego",
} as const;

/** What a host hands to a guest at its start, bound to the guest's evidence by the digest of its very bytes. */
export interface Initdata {
  readonly algorithm: InitdataAlgorithm;
  readonly data: ReadonlyMap<string, string>;
}

/**
 * Reads a TOML document: `version`, `algorithm` and the table `data` of texts, all of them and nothing else. Throws
 * {@link KbsProtocolError} `document`, `unsupported` or `too-long`.
 */
export function parseInitdata(toml: Uint8Array): Initdata {
  const { version, algorithm, data, ...unknown } = parseToml(decodeText(toml));
  const [stranger] = Object.keys(unknown);
  if (stranger !== undefined) throw bad(`expected version, algorithm and data, got the key ${shown(stranger)}`);
  if (typeof version !== "string") throw bad("expected the text version");
  if (version !== INITDATA_VERSION) {
    throw new KbsProtocolError("unsupported", `initdata: expected version ${INITDATA_VERSION}, got ${shown(version)}`);
  }
  if (typeof algorithm !== "string") throw bad("expected the text algorithm");
  if (!isAlgorithm(algorithm)) {
    const known = Object.keys(INITDATA_ALGORITHMS).join(", ");
    throw new KbsProtocolError("unsupported", `initdata: expected one of ${known}, got ${shown(algorithm)}`);
  }
  return { algorithm, data: texts(data) };
}

/** The digest of a document's bytes as they are. It is what evidence is compared with. */
export function initdataDigest(toml: Uint8Array, algorithm: InitdataAlgorithm): Buffer {
  return createHash(algorithm).update(toml).digest();
}

/**
 * A digest as a platform's field of `size` bytes holds it: cut, or filled up with zeros. SNP's HOSTDATA has 32 bytes,
 * TDX's MRCONFIGID 48, SE's user data 256, CCA's personalisation value 64.
 */
export function fitDigest(digest: Uint8Array, size: number): Buffer {
  const field = Buffer.alloc(size);
  field.set(digest.subarray(0, size));
  return field;
}

/** Writes a document; texts of several lines stay readable. Throws {@link KbsProtocolError} `too-long`. */
export function formatInitdata({ algorithm, data }: Initdata): string {
  const lines = [`version = ${basic(INITDATA_VERSION)}`, `algorithm = ${basic(algorithm)}`, "", "[data]"];
  for (const [key, value] of data) lines.push(`${basic(key)} = ${literal(value) ?? basic(value)}`);
  const text = `${lines.join("\n")}\n`;
  checkLength(Buffer.byteLength(text));
  return text;
}

function isAlgorithm(text: string): text is InitdataAlgorithm {
  return Object.hasOwn(INITDATA_ALGORITHMS, text);
}

function decodeText(toml: Uint8Array): string {
  checkLength(toml.length);
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(toml);
  } catch (cause) {
    throw new KbsProtocolError("document", "initdata: expected UTF-8", { cause });
  }
}

function parseToml(text: string): Record<string, unknown> {
  try {
    return parse(text);
  } catch (error) {
    // Its message shows the text around the place.
    throw error instanceof TomlError
      ? bad(`expected TOML, got none at line ${error.line}, column ${error.column}`)
      : error;
  }
}

function texts(data: unknown): ReadonlyMap<string, string> {
  if (typeof data !== "object" || data === null || Array.isArray(data)) throw bad("expected the table data");
  const map = new Map<string, string>();
  for (const [key, value] of Object.entries(data)) {
    if (typeof value !== "string") throw bad(`expected a text for ${shown(key)} in data, got ${typeof value}`);
    map.set(key, value);
  }
  return map;
}

function checkLength(length: number): void {
  if (length <= MAX_DOCUMENT) return;
  throw new KbsProtocolError(
    "too-long",
    `initdata: expected a document of at most ${MAX_DOCUMENT} bytes, got ${length}`,
  );
}

/** A multi-line literal string of TOML, where the text allows it. */
function literal(text: string): string | undefined {
  // No escapes in it: neither control characters nor its own end may occur.
  // oxlint-disable-next-line no-control-regex -- they are what is looked for
  if (!text.includes("\n") || text.includes("''") || text.endsWith("'") || /[\0-\x08\x0b-\x1f\x7f]/u.test(text)) {
    return undefined;
  }
  return `'''\n${text}'''`;
}

/** A basic string of TOML: JSON's escapes are among its own. */
function basic(text: string): string {
  return JSON.stringify(text.toWellFormed()).replaceAll("\u007f", String.raw`\u007f`);
}

/** The host's text in a message: one line, and not long. */
function shown(text: string): string {
  return JSON.stringify(text.length > 64 ? `${text.slice(0, 64)}…` : text);
}

function bad(what: string): KbsProtocolError {
  return new KbsProtocolError("document", `initdata: ${what}`);
}
