import type { TpmEvidence } from "@nacre/kbs-protocol";

import { type Attester, fitted } from "../attester.ts";
import type { Devices } from "../devices.ts";
import { AttesterError } from "../error.ts";
import { bindToPcr, pcrMeasurement } from "./measured.ts";
import { Tpm } from "./tpm.ts";

const NONCE = 32;
/** Where the attestation key lies unless the environment says otherwise. */
const AK_HANDLE = 0x81010002;

type Environment = Readonly<Record<string, string | undefined>>;

/** The first TPM; `AA_TPM_DEVICE` names another. */
export function tpmDevice(devices: Devices, env: Environment): string | undefined {
  const named = env["AA_TPM_DEVICE"];
  if (named !== undefined) return devices.exists(named) ? named : undefined;
  return ["/dev/tpm0", "/dev/tpm1", "/dev/tpm2"].find((path) => devices.exists(path));
}

/** A TPM that nothing binds to the hardware under it: what it says is worth what its maker's word is. */
export function tpmAttester(devices: Devices, path: string, env: Environment): Attester {
  const tpm = new Tpm(devices, path);
  const handle = akHandle(env);
  return {
    tee: "tpm",
    async evidence(reportData) {
      const { signature, message, pcrs } = await tpm.quote(handle, fitted(reportData, NONCE));
      const key = (await tpm.readPublic(handle)).export({ format: "der", type: "spki" });
      const evidence: TpmEvidence = {
        tpm_quote: {
          signature: signature.toString("base64"),
          message: message.toString("base64"),
          pcrs: pcrs.map((value) => value.toString("hex")),
        },
        ak_public: key.toString("base64"),
      };
      return JSON.stringify(evidence);
    },
    bindInitdata: (digest) => bindToPcr(tpm, digest),
    measurement: pcrMeasurement(tpm),
  };
}

function akHandle(env: Environment): number {
  const text = env["AA_TPM_AK_HANDLE"];
  if (text === undefined) return AK_HANDLE;
  const digits = /^(?:0x)?(?<digits>[0-9a-f]{1,8})$/iu.exec(text)?.groups?.["digits"];
  if (digits === undefined) throw new AttesterError("input", "AA_TPM_AK_HANDLE: expected a hexadecimal handle");
  return Number.parseInt(digits, 16);
}
