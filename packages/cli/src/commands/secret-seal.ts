import { createPrivateKey, type JsonWebKey, type KeyObject, randomBytes } from "node:crypto";

import { encrypts, kmsClient, systemKmsPorts } from "@nacre/confidential-data-hub/kms-clients";
import { formatSealedSecret, type SealedSecret, signJws } from "@nacre/confidential-data-hub/secret";
import { parseResourceUri } from "@nacre/kbs-protocol";
import { ivLength, parseWrapType, wrap, type WrapType } from "@nacre/ocicrypt";

import { command, type Command } from "../command.ts";
import { type Context, print } from "../context.ts";
import { NacreError } from "../error.ts";
import { readInput, readInputBytes } from "../input-file.ts";
import { KEY_PATH, kmsEnvironment, pairs } from "../secret-flags.ts";

const KEY_BYTES = 32;

export const secretSeal: Command = command({
  name: "secret seal",
  usage: "",
  summary: "Make a sealed secret: a text that only an attested guest opens",
  details: `
With --vault, the name of a secret that the provider has; with --file-path, a secret that goes into the text, encrypted
with a key that the provider encrypts (not kbs). Signed with a key of \`nacre secret keygen\`, of which the guest finds the
public part under --signing-kid: a resource's name, kbs:///…, or that of a file in the guest.

  nacre secret seal --vault kbs:///default/db/password --signing-kid kbs:///default/keys/pub --signing-jwk-path my-private.json`,
  arity: { min: 0, max: 0 },
  flags: {
    "signing-kid": { type: "string", value: "NAME", help: "where the guest finds the public key" },
    "signing-jwk-path": { type: "string", value: "FILE", help: "the private key" },
    vault: { type: "string", value: "NAME", help: "what the provider calls the secret" },
    "file-path": { type: "string", short: "f", value: "FILE", help: "the secret itself; - is standard input" },
    provider: { type: "string", value: "NAME", help: "kbs (default), aws, aliyun or ehsm" },
    setting: { type: "string", multiple: true, value: "NAME=VALUE", help: "of the provider: region=…, app_id=…" },
    annotation: { type: "string", multiple: true, value: "NAME=VALUE", help: "of the secret: version_id=…" },
    "key-id": { type: "string", value: "ID", help: "the provider's key that encrypts" },
    "key-path": KEY_PATH,
    "wrap-type": { type: "string", value: "TYPE", help: "A256GCM (default) or A256CTR" },
  },
  async run({ flags }, context) {
    const kid = flags["signing-kid"];
    const signer = flags["signing-jwk-path"];
    if (kid === undefined || signer === undefined) {
      throw new NacreError("usage", "secret seal: expected --signing-kid and --signing-jwk-path");
    }
    if ((flags.vault === undefined) === (flags["file-path"] === undefined)) {
      throw new NacreError("usage", "secret seal: expected either --vault or --file-path");
    }
    const key = signingKey(await readInput(signer, context));
    const part = {
      provider: flags.provider ?? "kbs",
      settings: pairs("--setting", flags.setting),
      annotations: pairs("--annotation", flags.annotation),
    };
    const secret: SealedSecret =
      flags.vault === undefined
        ? await envelope(await readInputBytes(flags["file-path"] ?? "", context), flags, part, context)
        : { type: "vault", name: vaultName(part.provider, flags.vault), ...part };
    const text = signJws(Buffer.from(formatSealedSecret(secret)), kid, key);
    print(context, { secret: text }, text);
  },
});

type Part = Pick<SealedSecret, "provider" | "settings"> & { readonly annotations: Readonly<Record<string, string>> };

async function envelope(
  plain: Buffer,
  flags: Readonly<Record<"key-id" | "key-path" | "wrap-type", string | undefined>>,
  part: Part,
  { interrupts: { signal }, env }: Context,
): Promise<SealedSecret> {
  const { "key-id": keyId, "key-path": folder } = flags;
  const type = wrapType(flags["wrap-type"] ?? "A256GCM");
  const ports = systemKmsPorts(folder === undefined ? env : kmsEnvironment(folder));
  const kms = kmsClient(part.provider.toLowerCase(), part.settings, ports);
  if (kms === undefined || !encrypts(kms)) {
    throw new NacreError("usage", "secret seal --file-path: expected --provider aws, aliyun (client_key) or ehsm");
  }
  if (keyId === undefined) throw new NacreError("usage", "secret seal --file-path: expected --key-id");
  const key = randomBytes(KEY_BYTES);
  try {
    const { ciphertext, annotations } = await kms.encrypt(key, keyId, signal);
    const iv = randomBytes(ivLength(type));
    return {
      type: "envelope",
      keyId,
      encryptedKey: ciphertext,
      data: { type, iv, data: wrap(type, key, iv, plain) },
      provider: part.provider,
      settings: part.settings,
      annotations: { ...part.annotations, ...annotations },
    };
  } catch (cause) {
    if (!(cause instanceof Error) || cause.name !== "HubError") throw cause;
    throw new NacreError("refused", `secret seal: ${cause.message}`, { cause });
  } finally {
    key.fill(0);
    plain.fill(0);
  }
}

function wrapType(text: string): WrapType {
  try {
    return parseWrapType(text);
  } catch {
    throw new NacreError("usage", "--wrap-type: expected A256GCM or A256CTR");
  }
}

/** What the guest would refuse is not sealed. */
function vaultName(provider: string, name: string): string {
  if (provider.toLowerCase() !== "kbs") return name;
  try {
    if (parseResourceUri(name).plugin === "resource") return name;
  } catch {
    // Said below.
  }
  throw new NacreError("usage", "--vault: expected kbs:///REPOSITORY/TYPE/TAG");
}

function signingKey(json: string): KeyObject {
  try {
    const jwk = JSON.parse(json) as JsonWebKey;
    if (jwk.kty !== "EC" || jwk.crv !== "P-256") throw new Error("not P-256");
    return createPrivateKey({ key: jwk, format: "jwk" });
  } catch {
    throw new NacreError("input", "--signing-jwk-path: expected a private JWK of P-256");
  }
}
