import { createHash, type KeyObject, sign } from "node:crypto";

import { rsaKey, type TestKey } from "../certificates.ts";

let made: TestKey | undefined;

/** A key for quotes, the same for all tests of a file. */
export function tpmKey(): TestKey {
  made ??= rsaKey();
  return made;
}

/** A marshalled TPMS_ATTEST of a quote. */
export function attest(extraData: Buffer, pcrs: readonly Buffer[], select = "00000001 000b 03 ffffff"): Buffer {
  const digest = createHash("sha256").update(Buffer.concat(pcrs)).digest();
  const sized = (bytes: Buffer): Buffer =>
    Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 0xff]), bytes]);
  return Buffer.concat([
    Buffer.from("ff5443478018", "hex"),
    sized(Buffer.alloc(34, 1)),
    sized(extraData),
    Buffer.alloc(17),
    Buffer.alloc(8),
    Buffer.from(select.replaceAll(" ", ""), "hex"),
    sized(digest),
  ]);
}

export function signQuote(message: Buffer, key: KeyObject = tpmKey().privateKey): Buffer {
  return sign("sha256", message, key);
}

/** Evidence as the guest's TPM attester sends it. */
export function tpmEvidence(
  extraData: Buffer,
  pcrs: readonly Buffer[],
  key: TestKey = tpmKey(),
): Record<string, unknown> {
  const message = attest(extraData, pcrs);
  const signature = Buffer.concat([Buffer.from("0014000b0100", "hex"), signQuote(message, key.privateKey)]);
  return {
    ak_public: key.publicKey.export({ type: "spki", format: "der" }).toString("base64"),
    tpm_quote: {
      signature: signature.toString("base64"),
      message: message.toString("base64"),
      pcrs: pcrs.map((pcr) => pcr.toString("hex")),
    },
  };
}

export function registers(initdata?: Buffer): readonly Buffer[] {
  return Array.from({ length: 24 }, (_, at) => (at === 8 && initdata !== undefined ? initdata : Buffer.alloc(32, at)));
}
