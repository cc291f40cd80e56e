import { readFileSync } from "node:fs";

import { CredentialStore, parseRegistryConfig, type RegistryConfig } from "oci-client";
import { parse } from "smol-toml";

import { NacreError } from "./error.ts";
import type { Guest } from "./guest/guest.ts";
import { HUB_CONFIG_PATH } from "./guest/hub-config.ts";
import { readPlan } from "./guest/plan.ts";

/** Where and how a guest looks for images. */
export interface GuestRegistries {
  readonly rules: RegistryConfig;
  /** PEM. */
  readonly extraRoots: readonly string[];
  readonly credentials: CredentialStore | undefined;
}

type Table = Readonly<Record<string, unknown>>;

/**
 * The registries as this guest has them, read from the files that it was started with, so that the image's configuration
 * is read from the place that its layers will come from. Throws NacreError `input`.
 */
export function guestRegistries(guest: Guest): GuestRegistries {
  const { files } = readPlan(guest.layout.plan);
  const source = (path: string): string | undefined => files.findLast((file) => file.path === path)?.from;
  const config = source(HUB_CONFIG_PATH);
  if (config === undefined) return parseGuestRegistries("", () => undefined);
  return parseGuestRegistries(readFileSync(config, "utf8"), (path) => {
    const from = source(path);
    return from === undefined ? undefined : readFileSync(from);
  });
}

/** The same from the configuration's text; `file` reads what it refers to. */
export function parseGuestRegistries(text: string, file: (path: string) => Uint8Array | undefined): GuestRegistries {
  try {
    const image = ((parse(text) as Table)["image"] ?? {}) as Table;
    const read = (key: string): Uint8Array | undefined => {
      const uri = image[key];
      return typeof uri === "string" ? file(uri.replace(/^file:\/\//u, "")) : undefined;
    };
    const rulesFile = read("registry_configuration_uri");
    const rules = image["registry_config"] ?? (rulesFile === undefined ? {} : parse(Buffer.from(rulesFile).toString()));
    const accounts = read("authenticated_registry_credentials_uri");
    return {
      rules: parseRegistryConfig(rules),
      extraRoots: (image["extra_root_certificates"] ?? []) as readonly string[],
      credentials: accounts === undefined ? undefined : CredentialStore.parse(accounts),
    };
  } catch (cause) {
    throw new NacreError("input", "the guest's registry configuration cannot be used", { cause });
  }
}
