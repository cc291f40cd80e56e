import { constants } from "node:fs";
import { open } from "node:fs/promises";

import { HubError } from "../error.ts";
import { CREDENTIALS_ROOT } from "../resource/credentials.ts";
import { jsonText } from "./json-text.ts";

const MAX_FILE = 64 * 1024;
/** What of a provider's settings may be part of a file's name or of a host's. */
const NAME = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$/u;

type Environment = Readonly<Record<string, string | undefined>>;

/** Where a provider's credentials lie, by the environment or where upstream has them. */
export function credentialFolder(provider: "aliyun" | "aws" | "ehsm", env: Environment): string {
  return env[`${provider.toUpperCase()}_IN_GUEST_KEY_PATH`] ?? `${CREDENTIALS_ROOT}/kms-credential/${provider}`;
}

/** A text of settings that names a file, a region or an instance. Throws HubError `malformed`. */
export function plainName(value: unknown, what: string): string {
  if (typeof value !== "string" || !NAME.test(value)) throw new HubError("malformed", `${what}: expected a plain name`);
  return value;
}

/** A path that settings give: a secret's text must not make this daemon read any other file. Throws HubError `malformed`. */
export function credentialPath(path: unknown, folder: string): string {
  const root = [folder, CREDENTIALS_ROOT].find((one) => typeof path === "string" && path.startsWith(`${one}/`));
  const parts = typeof path === "string" && root !== undefined ? path.slice(root.length + 1).split("/") : [];
  if (root === undefined || !parts.every((part) => NAME.test(part))) {
    throw new HubError("malformed", `credential: expected a path below ${CREDENTIALS_ROOT}`);
  }
  return `${root}/${parts.join("/")}`;
}

/** The caller zeroes it. Rejects with HubError `missing`. */
export async function readCredential(path: string): Promise<Buffer> {
  let file;
  try {
    file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (cause) {
    throw new HubError("missing", `KMS credential: ${path} cannot be read`, { cause });
  }
  try {
    const bytes = Buffer.alloc(MAX_FILE);
    const { bytesRead } = await file.read(bytes, 0, MAX_FILE, 0);
    return bytes.subarray(0, bytesRead);
  } catch (cause) {
    throw new HubError("missing", `KMS credential: ${path} cannot be read`, { cause });
  } finally {
    await file.close();
  }
}

/** A text of a credential in JSON, as bytes. The caller zeroes it. Throws HubError `malformed`. */
export function credentialText(json: Buffer, name: string): Buffer {
  const text = jsonText(json, [name]);
  if (text === undefined) throw new HubError("malformed", `KMS credential: expected JSON with the text ${name}`);
  return text;
}
