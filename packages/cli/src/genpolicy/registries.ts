import { CredentialStore, parseRegistryConfig } from "oci-client";

import type { Context } from "../context.ts";
import { NacreError } from "../error.ts";
import type { GuestRegistries } from "../guest-registries.ts";
import { readInput } from "../input-file.ts";

const LOCAL = "127.0.0.1";

/** How registries are reached, as the command line says it. */
export interface RegistryFlags {
  readonly mirror: readonly string[];
  readonly "insecure-registry": readonly string[];
  readonly "registry-ca": readonly string[];
  readonly authfile: string | undefined;
}

/** Registries for a command without a guest. Throws NacreError `usage` and `input`. */
export async function registriesOf(flags: RegistryFlags, context: Pick<Context, "stdin">): Promise<GuestRegistries> {
  const insecure = new Set(flags["insecure-registry"]);
  const mirrors = flags.mirror.map((text) => {
    const [, prefix, location] = /^([^\s=]+)=([^\s=]+)$/u.exec(text) ?? [];
    if (prefix === undefined || location === undefined) {
      throw new NacreError("usage", `--mirror: expected NAME=PLACE, got ${JSON.stringify(text)}`);
    }
    const [host = ""] = location.split("/", 1);
    // What guests call the gateway is this machine, and speaks plain HTTP to them.
    if (/^gateway(?::|$)/u.test(host)) return { prefix, location: location.replace("gateway", LOCAL), insecure: true };
    // What is said of a place's transport is said of it under either name.
    return { prefix, location, insecure: insecure.has(host) || insecure.has(location) };
  });
  const rules = [...mirrors, ...[...insecure].map((prefix) => ({ prefix, insecure: true }))];
  try {
    return {
      rules: parseRegistryConfig({ registry: rules }),
      extraRoots: await Promise.all(flags["registry-ca"].map((path) => readInput(path, context))),
      credentials:
        flags.authfile === undefined
          ? undefined
          : CredentialStore.parse(Buffer.from(await readInput(flags.authfile, context))),
    };
  } catch (cause) {
    if (cause instanceof NacreError) throw cause;
    throw new NacreError("input", "the registries cannot be used", { cause });
  }
}
