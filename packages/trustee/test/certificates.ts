import { createHash, generateKeyPairSync, type KeyObject, sign } from "node:crypto";

/** Certificates and revocation lists for tests, written as DER: platforms put extensions into them that no tool makes. */
export interface TestKey {
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
}

export function ecKey(namedCurve: "P-256" | "P-384" = "P-256"): TestKey {
  return generateKeyPairSync("ec", { namedCurve });
}

export function rsaKey(modulusLength = 2048): TestKey {
  return generateKeyPairSync("rsa", { modulusLength });
}

export interface CertificateOptions {
  readonly subject: string;
  readonly issuer?: string;
  readonly key: KeyObject;
  /** The issuer's. */
  readonly signer: KeyObject;
  readonly ca?: boolean;
  readonly serial?: number;
  readonly from?: string;
  readonly to?: string;
  /** Dotted identifier to what is inside of the octet string. */
  readonly extensions?: ReadonlyMap<string, Buffer>;
}

export function certificate(options: CertificateOptions): Buffer {
  const algorithm = signatureAlgorithm(options.signer);
  const constraints = sequence(
    oid("2.5.29.19"),
    boolean(true),
    octets(options.ca === true ? sequence(boolean(true)) : sequence()),
  );
  const extensions = [...(options.extensions ?? [])].map(([id, value]) => sequence(oid(id), octets(value)));
  const tbs = sequence(
    context(0, integer(2)),
    integer(options.serial ?? 1),
    algorithm,
    name(options.issuer ?? options.subject),
    sequence(utcTime(options.from ?? "250101000000Z"), generalizedTime(options.to ?? "20490101000000Z")),
    name(options.subject),
    options.key.export({ type: "spki", format: "der" }),
    context(3, sequence(constraints, ...extensions)),
  );
  return sequence(tbs, algorithm, bits(sign("sha256", tbs, options.signer)));
}

export function revocationList(
  issuer: string,
  signer: KeyObject,
  revoked: readonly number[],
  next = "20490101000000Z",
): Buffer {
  const algorithm = signatureAlgorithm(signer);
  const entries = revoked.map((serial) => sequence(integer(serial), utcTime("250101000000Z")));
  const tbs = sequence(
    integer(1),
    algorithm,
    name(issuer),
    utcTime("250101000000Z"),
    generalizedTime(next),
    ...(entries.length === 0 ? [] : [sequence(...entries)]),
    context(0, sequence(sequence(oid("2.5.29.20"), octets(integer(7))))),
  );
  return sequence(tbs, algorithm, bits(sign("sha256", tbs, signer)));
}

export function pem(der: Buffer): string {
  return `-----BEGIN CERTIFICATE-----\n${der.toString("base64").replaceAll(/(.{64})/gu, "$1\n")}\n-----END CERTIFICATE-----\n`;
}

export function der(tag: number, content: Buffer): Buffer {
  const { length } = content;
  if (length < 0x80) return Buffer.concat([Buffer.from([tag, length]), content]);
  const size = length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...size]), content]);
}

export function sequence(...parts: readonly Buffer[]): Buffer {
  return der(0x30, Buffer.concat(parts));
}

export function integer(value: number): Buffer {
  const hex = value.toString(16);
  const bytes = Buffer.from(hex.padStart(hex.length + (hex.length % 2), "0"), "hex");
  return der(0x02, (bytes[0] ?? 0) >= 0x80 ? Buffer.concat([Buffer.alloc(1), bytes]) : bytes);
}

export function octets(content: Buffer): Buffer {
  return der(0x04, content);
}

export function oid(dotted: string): Buffer {
  const [a = 0, b = 0, ...rest] = dotted.split(".").map(Number);
  return der(0x06, Buffer.concat([Buffer.from([a * 40 + b]), ...rest.map(base128)]));
}

function base128(arc: number): Buffer {
  const bytes = [arc & 0x7f];
  for (let left = Math.floor(arc / 128); left > 0; left = Math.floor(left / 128)) bytes.unshift((left & 0x7f) | 0x80);
  return Buffer.from(bytes);
}

function signatureAlgorithm(signer: KeyObject): Buffer {
  return signer.asymmetricKeyType === "rsa"
    ? sequence(oid("1.2.840.113549.1.1.11"), der(0x05, Buffer.alloc(0)))
    : sequence(oid("1.2.840.10045.4.3.2"));
}

function name(commonName: string): Buffer {
  return sequence(der(0x31, sequence(oid("2.5.4.3"), der(0x0c, Buffer.from(commonName)))));
}

function boolean(value: boolean): Buffer {
  return der(0x01, Buffer.from([value ? 0xff : 0]));
}

function bits(content: Buffer): Buffer {
  return der(0x03, Buffer.concat([Buffer.alloc(1), content]));
}

function context(tag: number, content: Buffer): Buffer {
  return der(0xa0 | tag, content);
}

function utcTime(text: string): Buffer {
  return der(0x17, Buffer.from(text));
}

function generalizedTime(text: string): Buffer {
  return der(0x18, Buffer.from(text));
}

export function sha256(...parts: readonly Buffer[]): Buffer {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest();
}
