import {
  errorText,
  fetchBytes,
  keyDistributionService,
  loadRegorus,
  makeAttestationService,
  MemoryStorage,
  type VerificationRequest,
} from "@nacre/trustee";

import { NacreError } from "../error.ts";
import { devicesOf, type Fields, isFields, type Proof, type Remark } from "./proof.ts";

const KDS = "https://kdsintf.amd.com";

export interface Judged {
  readonly subject: string;
  readonly requests: readonly VerificationRequest[];
  /** Messages of reference values, as `make rootfs` writes them. */
  readonly references: readonly string[];
  /** Whether the evidence was made for this question. */
  readonly fresh: boolean;
}

/**
 * Verifies evidence here, under the default policies and the reference values that were given. Throws NacreError
 * `refused` for evidence that does not hold.
 */
export async function judge({ subject, requests, references, fresh }: Judged): Promise<Proof> {
  const { service, referenceValues } = await makeAttestationService(
    {
      signer: {},
      verboseToken: true,
      vcekSources: [keyDistributionService(KDS, fetchBytes)],
      storage: new MemoryStorage(),
      module: await loadRegorus(),
      now: Date.now,
    },
    [],
  );
  try {
    for (const message of references) await referenceValues.register(message);
  } catch (cause) {
    throw new NacreError("input", `reference values: ${errorText(cause)}`, { cause });
  }
  let evaluated: Awaited<ReturnType<typeof service.evaluate>>;
  try {
    evaluated = await service.evaluate(requests, ["default"]);
  } catch (cause) {
    throw new NacreError("refused", `${subject}: the evidence does not hold: ${errorText(cause)}`, { cause });
  }
  const { token, findings } = evaluated;
  const claims = JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString()) as Fields;
  const expected = new Map(findings.map((one) => [one.submodule, one.referenceValues ?? {}]));
  const devices = devicesOf(claims, expected);
  const tees = requests.map(({ tee }) => tee);
  return {
    subject,
    facts: [
      ["evidence", tees.join(", ")],
      ["verified", "here, under the default policies"],
    ],
    remarks: [...remarksOn(claims, tees), freshness(fresh)],
    devices,
  };
}

function freshness(fresh: boolean): Remark {
  return fresh
    ? { tone: "good", text: "The evidence was made just now, for a number that nobody knew before." }
    : { tone: "bad", text: "Nothing shows when, or for whom, the evidence was made." };
}

/** What evidence of these kinds cannot prove. */
export function remarksOn(claims: Fields, tees: readonly string[]): readonly Remark[] {
  const remarks: Remark[] = [];
  if (tees.some((tee) => tee === "sample" || tee === "sampledevice")) {
    remarks.push({
      tone: "bad",
      text: "Sample evidence: any program can make it. No hardware vouches for anything here.",
    });
  }
  const bound = Object.values(isFields(claims["submods"]) ? claims["submods"] : {}).some((part) => {
    const evidence = isFields(part) ? part["ear.veraison.annotated-evidence"] : undefined;
    return isFields(evidence) && isBound(evidence["init_data"]);
  });
  const sample = tees.includes("sample");
  if (!bound)
    remarks.push({ tone: "bad", text: "Unbound: no initdata is part of what was measured, so no policy is proven." });
  else if (!sample) remarks.push({ tone: "good", text: "Initdata is bound: its digest is part of what was measured." });
  return remarks;
}

/** Platforms that bind nothing say so by nothing, or by zeros. */
function isBound(digest: unknown): boolean {
  return typeof digest === "string" && !/^0*$/u.test(digest) && !/^A*=*$/u.test(digest);
}
