import { createPrivateKey, type KeyObject } from "node:crypto";

import { HubError } from "../error.ts";
import { base64Bytes } from "./base64-bytes.ts";

/**
 * The private key of a PKCS#12 file in base64. Node opens such files for TLS alone, so node-forge does; what it keeps of
 * the key in texts goes with V8's next collection. Rejects with HubError `malformed`.
 */
export async function readPkcs12(base64: Uint8Array, password: Uint8Array): Promise<KeyObject> {
  const { default: forge } = await import("node-forge");
  const bytes = base64Bytes(base64, "client key");
  try {
    const asn1 = forge.asn1.fromDer(forge.util.createBuffer(bytes.toString("latin1")));
    const phrase = Buffer.from(password).toString().trimEnd();
    const store = forge.pkcs12.pkcs12FromAsn1(asn1, phrase);
    const { pkcs8ShroudedKeyBag: shrouded, keyBag: plain } = forge.pki.oids;
    const key = [shrouded, plain]
      .flatMap((bagType) => store.getBags({ bagType: bagType ?? "" })[bagType ?? ""] ?? [])
      .map((bag) => bag.key)
      .find((one) => one !== undefined && one !== null);
    if (key === undefined || key === null) throw new Error("no key");
    const der = forge.asn1.toDer(forge.pki.wrapRsaPrivateKey(forge.pki.privateKeyToAsn1(key)));
    const pkcs8 = Buffer.from(der.getBytes(), "latin1");
    try {
      return createPrivateKey({ key: pkcs8, format: "der", type: "pkcs8" });
    } finally {
      pkcs8.fill(0);
    }
  } catch {
    // Its messages may show parts of the file.
    throw new HubError("malformed", "client key: expected PKCS#12 with a key, and its password");
  } finally {
    bytes.fill(0);
  }
}
