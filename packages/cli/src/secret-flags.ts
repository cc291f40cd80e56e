import type { Flag } from "./command.ts";
import { NacreError } from "./error.ts";

/** Where KMS credentials lie. */
export const KEY_PATH: Flag & { readonly type: "string" } = {
  type: "string",
  short: "k",
  value: "PATH",
  help: "folder of the provider's credentials, named as in the guest",
};

/** What clients of key management services read of an environment, for one folder of credentials. */
export function kmsEnvironment(folder: string): Readonly<Record<string, string>> {
  return { AWS_IN_GUEST_KEY_PATH: folder, ALIYUN_IN_GUEST_KEY_PATH: folder, EHSM_IN_GUEST_KEY_PATH: folder };
}

/** `NAME=VALUE` each. Throws NacreError `usage`. */
export function pairs(flag: string, values: readonly string[]): Readonly<Record<string, string>> {
  return Object.fromEntries(
    values.map((value) => {
      const at = value.indexOf("=");
      if (at <= 0) throw new NacreError("usage", `${flag}: expected NAME=VALUE`);
      return [value.slice(0, at), value.slice(at + 1)];
    }),
  );
}
