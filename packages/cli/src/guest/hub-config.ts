import type { StartGuestOptions } from "./options.ts";
import type { GuestNetwork } from "./state.ts";

/** One entry of the guest's registries configuration (containers-registries.conf(5)). */
export interface RegistryRule {
  readonly prefix: string;
  /** What replaces the prefix; absent: the name stays. */
  readonly location?: string;
  /** Plain HTTP. */
  readonly insecure?: boolean;
}

/** Where the daemon looks for its own configuration, inside the measured root. */
export const HUB_CONFIG_PATH = "/etc/confidential-data-hub.conf";

/** The hub's configuration for a guest with these options. */
export function hubConfigOf(network: GuestNetwork, options: StartGuestOptions): string {
  const rules = typeof options.registries === "function" ? options.registries(network) : options.registries;
  const own = typeof options.hubConfig === "function" ? options.hubConfig(network) : options.hubConfig;
  return own ?? hubConfig(network, rules ?? [], options.extraRoots ?? []);
}

/** The Confidential Data Hub's configuration: plain HTTP to the gateway, where a developer's registry listens. */
export function hubConfig(
  network: GuestNetwork,
  rules: readonly RegistryRule[],
  extraRoots: readonly string[],
): string {
  const all: readonly RegistryRule[] = [...rules, { prefix: network.gateway, insecure: true }];
  const lines = ["[image]"];
  if (extraRoots.length > 0) lines.push(`extra_root_certificates = [${extraRoots.map(quote).join(", ")}]`);
  for (const { prefix, location, insecure } of all) {
    lines.push("[[image.registry_config.registry]]", `prefix = ${quote(prefix)}`);
    if (location !== undefined) lines.push(`location = ${quote(location)}`);
    lines.push(`insecure = ${insecure === true}`);
  }
  return `${lines.join("\n")}\n`;
}

/** A basic string of TOML: JSON's escapes are among its own. */
function quote(text: string): string {
  return JSON.stringify(text).replaceAll("\u007f", "\\u007f");
}
