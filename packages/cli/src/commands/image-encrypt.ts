import { writeFileSync } from "node:fs";

import { command, type Command, type Flag } from "../command.ts";
import { note, print } from "../context.ts";
import { NacreError } from "../error.ts";
import { encryptLayout } from "../image-crypt/encrypt-layout.ts";
import { layerKey } from "../image-crypt/key.ts";
import { keyRegistry, registerKey } from "../image-crypt/register-key.ts";
import { parseListenAddress } from "../listen-address.ts";

const BROKER: Readonly<Record<"admin-token-file" | "kbs" | "kbs-cert", Flag & { readonly type: "string" }>> = {
  kbs: { type: "string", value: "URL", help: "key broker that is to have the key" },
  "admin-token-file": { type: "string", value: "FILE", help: "token of its administrator (nacre trustee token)" },
  "kbs-cert": { type: "string", value: "FILE", help: "PEM of what serves it; default: the machine's authorities" },
};

const DEFAULT_LISTEN = "127.0.0.1:50000";

export const imageEncrypt: Command = command({
  name: "image encrypt",
  usage: "FROM TO",
  summary: "Encrypt the layers of images, so that only attested guests open them",
  details: `
FROM and TO are folders in the OCI image layout, as \`skopeo copy docker://… oci:FROM\` and back makes them. Each layer gets
a key of its own, which the key of --kid wraps: with --kbs it is made and given to that broker, with --key-path it is yours.`,
  arity: { min: 2, max: 2 },
  flags: {
    kid: { type: "string", value: "NAME", help: "the key's name, kbs:///…; default: a new one" },
    "key-path": { type: "string", value: "FILE", help: "its 32 bytes; default: random" },
    "key-out": { type: "string", value: "FILE", help: "where a random key is written, for you alone" },
    algorithm: { type: "string", value: "TYPE", help: "A256GCM (default) or A256CTR" },
    ...BROKER,
  },
  async run({ flags, args: [from = "", to = ""] }, context) {
    const registry = keyRegistry(flags);
    const { "key-path": keypath, "key-out": output, algorithm, kid: keyid } = flags;
    if (keypath === undefined && output === undefined && registry === undefined) {
      throw new NacreError(
        "usage",
        "image encrypt: expected --kbs, --key-path or --key-out: nobody would have the key",
      );
    }
    const key = layerKey({ keyid, keypath, algorithm });
    try {
      if (output !== undefined) writeKey(output, key.key);
      if (registry !== undefined) await registerKey(registry, key.kid, key.key);
      const digests = await encryptLayout(from, to, key);
      print(context, { kid: key.kid, digests }, [`key ${key.kid}`, ...digests].join("\n"));
    } finally {
      key.key.fill(0);
    }
  },
});

/** A key is never overwritten. Throws NacreError `input`. */
function writeKey(path: string, key: Uint8Array): void {
  try {
    writeFileSync(path, key, { mode: 0o600, flag: "wx" });
  } catch (cause) {
    throw new NacreError("input", `${path}: the key cannot be written`, { cause });
  }
}

export const imageKeyProvider: Command = command({
  name: "image keyprovider",
  usage: "",
  summary: "Wrap keys for skopeo and others that encrypt images, by gRPC",
  details: `
Serves until SIGTERM or Ctrl-C. In $OCICRYPT_KEYPROVIDER_CONFIG: {"key-providers":{"attestation-agent":{"grpc":"HOST:PORT"}}};
then \`skopeo copy --encryption-key provider:attestation-agent:keyid=kbs:///a/b/c …\`, further parameters behind ::, keypath=FILE
and algorithm=A256GCM|A256CTR. Who reaches the port has keys registered: keep it on this machine.`,
  arity: { min: 0, max: 0 },
  flags: {
    socket: { type: "string", value: "HOST:PORT", help: `where to listen; default: ${DEFAULT_LISTEN}` },
    ...BROKER,
  },
  async run({ flags }, context) {
    const { host, port } = parseListenAddress(flags.socket ?? DEFAULT_LISTEN, "socket");
    const log = (line: string): void => note(context, line);
    // With it comes the library of gRPC, which no other command needs.
    const { serveKeyProvider } = await import("../image-crypt/key-provider.ts");
    await using provider = await serveKeyProvider({ host, port, registry: keyRegistry(flags), log });
    print(context, { host: provider.host, port: provider.port }, `listening on ${provider.host}:${provider.port}`);
    const { signal } = context.interrupts;
    if (signal.aborted) return 0;
    await new Promise<void>((done) => signal.addEventListener("abort", () => done(), { once: true }));
    return 0;
  },
});
