import type { Flag, Invocation } from "../command.ts";
import type { Context } from "../context.ts";
import { NacreError } from "../error.ts";
import type { RegistryRule } from "../guest/hub-config.ts";
import type { StartGuestOptions } from "../guest/options.ts";
import type { GuestNetwork } from "../guest/state.ts";
import { readInput } from "../input-file.ts";
import { REGISTRY_FLAGS } from "./registry-flags.ts";

/** What stands for this machine, as each guest sees it, in --mirror. */
const GATEWAY = "gateway";

interface OneText extends Flag {
  readonly type: "string";
}
interface Texts extends Flag {
  readonly type: "string";
  readonly multiple: true;
}
type GuestFlags = Readonly<Record<"policy", OneText>> &
  Readonly<Record<"mirror" | "kernel", Texts>> &
  typeof REGISTRY_FLAGS;

/** Flags by which guests are set up, wherever they are started. */
export const GUEST_FLAGS: GuestFlags = {
  policy: { type: "string", value: "FILE", help: "Rego policy in force from the start; default: allow everything" },
  mirror: {
    type: "string",
    multiple: true,
    value: "NAME=PLACE",
    help: "pull images of registry NAME from PLACE; gateway:PORT is this machine, by plain HTTP",
  },
  ...REGISTRY_FLAGS,
  kernel: { type: "string", multiple: true, value: "KEY=VALUE", help: "kernel parameter, such as agent.log=debug" },
};

/** The flags as options. Throws NacreError `usage` and `input`. */
export async function guestOptions(
  flags: Invocation<GuestFlags>["flags"],
  context: Pick<Context, "stdin">,
): Promise<Pick<StartGuestOptions, "policy" | "registries" | "extraRoots" | "kernelParameters">> {
  const mirrors = flags.mirror.map(parseMirror);
  const insecure = flags["insecure-registry"].map((prefix): RegistryRule => ({ prefix, insecure: true }));
  const policy = flags.policy === undefined ? undefined : await readInput(flags.policy, context);
  return {
    ...(policy === undefined ? {} : { policy }),
    registries: (network) => [...mirrors.map((mirror) => mirrorRule(mirror, network)), ...insecure],
    extraRoots: await Promise.all(flags["registry-ca"].map((path) => readInput(path, context))),
    kernelParameters: flags.kernel,
  };
}

interface Mirror {
  readonly prefix: string;
  readonly host: string;
  /** What follows the host: a port, a path, both or nothing. */
  readonly rest: string;
}

function parseMirror(text: string): Mirror {
  const [, prefix, host, rest] = /^([^\s=]+)=([^\s=:/]+)((?::\d{1,5})?(?:\/[^\s=]*)?)$/u.exec(text) ?? [];
  if (prefix === undefined || host === undefined) {
    throw new NacreError("usage", `--mirror: expected NAME=HOST[:PORT][/PATH], got ${JSON.stringify(text)}`);
  }
  return { prefix, host, rest: rest ?? "" };
}

function mirrorRule({ prefix, host, rest }: Mirror, network: GuestNetwork): RegistryRule {
  return host === GATEWAY
    ? { prefix, location: `${network.gateway}${rest}`, insecure: true }
    : { prefix, location: `${host}${rest}` };
}

/** A number of MiB, in bytes. Throws NacreError `usage`. */
export function mebibytes(flag: string, text: string): number {
  return wholeNumber(flag, text) * 1024 * 1024;
}

/** A whole number of up to seven digits. Throws NacreError `usage`. */
export function wholeNumber(flag: string, text: string): number {
  if (!/^\d{1,7}$/u.test(text)) throw new NacreError("usage", `${flag}: expected a whole number, got ${text}`);
  return Number(text);
}
