import { writeFileSync } from "node:fs";

import { kmsClient, systemKmsPorts } from "@nacre/confidential-data-hub/kms-clients";
import { parseVerificationKey, Unsealer } from "@nacre/confidential-data-hub/secret";

import { command, type Command } from "../command.ts";
import { print } from "../context.ts";
import { NacreError } from "../error.ts";
import { readInputBytes } from "../input-file.ts";
import { KEY_PATH, kmsEnvironment } from "../secret-flags.ts";

export const secretUnseal: Command = command({
  name: "secret unseal",
  usage: "",
  summary: "Open a sealed secret with credentials of your own",
  details: `
Writes FILE.unsealed, for you alone. Secrets of the key broker are for attested guests: nacre cdh unseal-secret asks one.`,
  arity: { min: 0, max: 0 },
  flags: {
    "file-path": { type: "string", short: "f", value: "FILE", help: "the sealed secret" },
    "verification-jwk-path": { type: "string", value: "FILE", help: "the public key of who sealed it" },
    "skip-verification": { type: "boolean", help: "whoever sealed it" },
    "key-path": KEY_PATH,
  },
  async run({ flags }, context) {
    const { "file-path": file, "verification-jwk-path": key, "skip-verification": skip, "key-path": folder } = flags;
    if (file === undefined || file === "-") throw new NacreError("usage", "secret unseal: expected --file-path FILE");
    if ((key === undefined) !== skip) {
      throw new NacreError("usage", "secret unseal: expected --verification-jwk-path or --skip-verification");
    }
    const secret = Buffer.from((await readInputBytes(file, context)).toString("latin1").trimEnd(), "latin1");
    const jwk = key === undefined ? undefined : await readInputBytes(key, context);
    const ports = systemKmsPorts(folder === undefined ? context.env : kmsEnvironment(folder));
    const unsealer = new Unsealer({
      skipVerification: skip,
      keys: { get: async () => await Promise.resolve(parseVerificationKey(jwk ?? Buffer.alloc(0))) },
      openKms: async (provider, settings) => {
        const kms = kmsClient(provider.toLowerCase(), settings, ports);
        if (kms !== undefined) return await Promise.resolve(kms);
        throw new NacreError("usage", `provider ${JSON.stringify(provider)}: ask a guest with nacre cdh unseal-secret`);
      },
    });
    let plain: Buffer;
    try {
      plain = await unsealer.unseal(secret, context.interrupts.signal);
    } catch (cause) {
      if (!(cause instanceof Error) || cause.name !== "HubError") throw cause;
      throw new NacreError("refused", cause.message, { cause });
    }
    const output = `${file}.unsealed`;
    try {
      writeFileSync(output, plain, { mode: 0o600 });
    } catch (cause) {
      throw new NacreError("input", `${output} cannot be written`, { cause });
    } finally {
      plain.fill(0);
    }
    print(context, { file: output }, output);
  },
});
