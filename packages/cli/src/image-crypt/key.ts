import { randomBytes, randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";

import { parseResourceUri } from "@nacre/kbs-protocol";
import { formatPacket, ivLength, parseWrapType, wrap, type WrapType } from "@nacre/ocicrypt";

import { NacreError } from "../error.ts";

const KEY_BYTES = 32;

/** The key that wraps the options of layers, and the name under which a guest's broker has it. */
export interface LayerKey {
  readonly kid: string;
  readonly type: WrapType;
  /** The caller zeroes it. */
  readonly key: Buffer;
}

/** What skopeo passes on behind `provider:attestation-agent:`, or the command's flags: all have defaults. */
export interface LayerKeyOptions {
  readonly keyid?: string | undefined;
  /** A file of 32 bytes. Default: random ones. */
  readonly keypath?: string | undefined;
  readonly algorithm?: string | undefined;
}

/** Throws NacreError `usage` or `input`. */
export function layerKey({ keyid, keypath, algorithm = "A256GCM" }: LayerKeyOptions): LayerKey {
  const kid = keyid ?? `kbs:///default/image-kek/${randomUUID()}`;
  let type: WrapType;
  try {
    parseResourceUri(kid);
    type = parseWrapType(algorithm);
  } catch (cause) {
    throw new NacreError("usage", "expected a key's name, kbs:///REPOSITORY/TYPE/TAG, and A256GCM or A256CTR", {
      cause,
    });
  }
  if (keypath === undefined) return { kid, type, key: randomBytes(KEY_BYTES) };
  let key: Buffer;
  try {
    key = readFileSync(keypath);
  } catch (cause) {
    throw new NacreError("input", "the key's file cannot be read", { cause });
  }
  if (key.length === KEY_BYTES) return { kid, type, key };
  key.fill(0);
  throw new NacreError("input", `the key's file: expected ${KEY_BYTES} bytes, got ${key.length}`);
}

/** The packet that lets a guest open a layer: its options, wrapped. */
export function wrapOptions({ kid, type, key }: LayerKey, options: Uint8Array): string {
  const iv = randomBytes(ivLength(type));
  return formatPacket({ provider: "kbs", kid, wrapped: { type, iv, data: wrap(type, key, iv, options) } });
}

const NAMES = ["keyid", "keypath", "algorithm"] as const;

/** `NAME=VALUE::NAME=VALUE…`, as skopeo's users write it. Throws NacreError `usage`. */
export function parseLayerKeyOptions(text: string): LayerKeyOptions {
  const options: { -readonly [K in keyof LayerKeyOptions]: LayerKeyOptions[K] } = {};
  for (const part of text.split("::").filter((one) => one !== "")) {
    const at = part.indexOf("=");
    const name = NAMES.find((one) => one === part.slice(0, Math.max(at, 0)));
    if (name === undefined) throw new NacreError("usage", `key provider: expected ${NAMES.join("=…, ")}=…`);
    options[name] = part.slice(at + 1);
  }
  return options;
}
