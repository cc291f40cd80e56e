import { constants } from "node:fs";
import { open } from "node:fs/promises";
import type { KeyObject } from "node:crypto";

import { HubError } from "../error.ts";
import { brokerName } from "../kms/broker-name.ts";
import { SIGNING_KEYS_ROOT } from "../resource/credentials.ts";
import type { Resources } from "../resource/resources.ts";
import { parseVerificationKey } from "./jws.ts";

/** A file of its folder and nothing else. */
const FILE_NAME = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,254}$/u;
const MAX_KEY = 64 * 1024;

/** Keys that sealed secrets name: by the broker, `kbs:///…`, or in files of one folder, which `[[credentials]]` fill. */
export class VerificationKeys {
  readonly #resources: Pick<Resources, "get">;
  readonly #folder: string;

  constructor(resources: Pick<Resources, "get">, folder: string = SIGNING_KEYS_ROOT) {
    this.#resources = resources;
    this.#folder = folder;
  }

  /** Rejects with HubError, or what the resources reject with. */
  async get(kid: string, signal: AbortSignal): Promise<KeyObject> {
    const jwk = /^kbs(?:\+|:)/iu.test(kid)
      ? await this.#resources.get(brokerName(kid, "verification key"), signal)
      : await this.#file(kid);
    try {
      return parseVerificationKey(jwk);
    } finally {
      // It may be the private one.
      jwk.fill(0);
    }
  }

  async #file(name: string): Promise<Buffer> {
    if (!FILE_NAME.test(name)) {
      throw new HubError("malformed", "verification key: expected a resource's name or that of a file");
    }
    let file;
    try {
      file = await open(`${this.#folder}/${name}`, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    } catch (cause) {
      throw new HubError("missing", `verification key: there is no file ${name}`, { cause });
    }
    try {
      const bytes = Buffer.alloc(MAX_KEY);
      const { bytesRead } = await file.read(bytes, 0, MAX_KEY, 0);
      return bytes.subarray(0, bytesRead);
    } catch (cause) {
      throw new HubError("malformed", `verification key: ${name} cannot be read`, { cause });
    } finally {
      await file.close();
    }
  }
}
