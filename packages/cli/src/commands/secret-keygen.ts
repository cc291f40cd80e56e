import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { command, type Command } from "../command.ts";
import { print } from "../context.ts";
import { NacreError } from "../error.ts";

const NAME = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,200}$/u;

export const secretKeygen: Command = command({
  name: "secret keygen",
  usage: "",
  summary: "Make a key that signs sealed secrets",
  details: `
Writes NAME-private.json, which seals, and NAME-public.json, which the key broker is to have under the name that secrets
are sealed with (--signing-kid), as JWKs of P-256.`,
  arity: { min: 0, max: 0 },
  flags: {
    kid: { type: "string", value: "NAME", help: "the key's name" },
    "output-dir": { type: "string", value: "PATH", help: "where; default: here" },
  },
  run({ flags }, context) {
    const { kid, "output-dir": folder = "." } = flags;
    if (kid === undefined || !NAME.test(kid)) throw new NacreError("usage", "secret keygen: expected --kid NAME");
    const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const files = { private: join(folder, `${kid}-private.json`), public: join(folder, `${kid}-public.json`) };
    try {
      mkdirSync(folder, { recursive: true });
      writeFileSync(files.private, jwk(privateKey, kid), { mode: 0o600, flag: "wx" });
      writeFileSync(files.public, jwk(publicKey, kid), { flag: "wx" });
    } catch (cause) {
      throw new NacreError("input", `${folder}: the key cannot be written`, { cause });
    }
    print(context, files, Object.values(files).join("\n"));
    return Promise.resolve();
  },
});

function jwk(key: KeyObject, kid: string): string {
  return `${JSON.stringify({ ...key.export({ format: "jwk" }), alg: "ES256", use: "sig", kid }, undefined, 2)}\n`;
}
