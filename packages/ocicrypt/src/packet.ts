import { fromBase64 } from "./base64.ts";
import { OcicryptError } from "./error.ts";
import { type Fields, fields, parseFields, textField } from "./fields.ts";
import { parseWrapType, type Wrapped } from "./wrap.ts";

/** The layer's annotation that holds a packet in base64, where the key provider is called `attestation-agent`. */
export const KEYS_ANNOTATION = "org.opencontainers.image.enc.keys.provider.attestation-agent";

/** Of a packet in JSON: a layer's options have some hundred bytes. */
const MAX_PACKET: number = 256 * 1024;
const VERSION = "0.1.0";
const KBS = "kbs";

/** A layer's options, wrapped with a key that the broker has (packets v1, and v2 of the provider `kbs`). */
export interface BrokerPacket {
  readonly provider: "kbs";
  /** Name of the key: `kbs:///…`. */
  readonly kid: string;
  readonly wrapped: Wrapped;
}

/** A layer's options, encrypted by a key management service (v2). */
export interface ServicePacket {
  readonly provider: string;
  readonly kid: string;
  readonly data: Buffer;
  readonly settings: Fields;
  readonly annotations: Fields;
}

export type Packet = BrokerPacket | ServicePacket;

export function isBrokerPacket(packet: Packet): packet is BrokerPacket {
  return packet.provider === KBS && "wrapped" in packet;
}

/** Reads a packet of either version. Throws OcicryptError `message`. */
export function parsePacket(json: string): Packet {
  const what = "annotation packet";
  if (json.length > MAX_PACKET)
    throw new OcicryptError("message", `${what}: expected at most ${MAX_PACKET} characters`);
  const packet = parseFields(json, what);
  const kid = textField(packet, "kid", what);
  const data = fromBase64(packet["wrapped_data"], "wrapped_data");
  if (packet["version"] === undefined) return { provider: KBS, kid, wrapped: wrapped(packet, data) };
  if (packet["version"] !== VERSION) throw new OcicryptError("message", `${what}: expected version ${VERSION}`);
  const provider = packet["provider"] === undefined ? KBS : textField(packet, "provider", what);
  const settings = fields(packet["provider_settings"] ?? {}, "provider_settings");
  const annotations = fields(packet["annotations"] ?? {}, "annotations");
  if (provider === KBS) return { provider: KBS, kid, wrapped: wrapped(packet, data) };
  return { provider, kid, data, settings, annotations };
}

function wrapped(packet: Fields, data: Buffer): Wrapped {
  return { type: parseWrapType(packet["wrap_type"]), iv: fromBase64(packet["iv"], "iv"), data };
}

/** Version 1, which every reader takes. */
export function formatPacket({ kid, wrapped: { type, iv, data } }: BrokerPacket): string {
  const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64");
  return JSON.stringify({ kid, wrapped_data: base64(data), iv: base64(iv), wrap_type: type });
}
