import { readFileSync } from "node:fs";

import { describe, expect, it } from "vitest";

import { AzSnpVerifier } from "../../src/index.ts";
import { parseHclReport } from "../../src/verifier/azure/hcl-report.ts";
import { vectors } from "../../../../test/setup/data.ts";
import { seeded } from "../../../../test/fixtures/seeded.ts";
import { flipped, mutated } from "../random.ts";

const folder = vectors("attestation/az-snp-vtpm");
interface Evidence extends Record<string, unknown> {
  readonly hcl_report: string;
  readonly vcek: string;
  readonly tpm_quote: { readonly signature: string; readonly message: string; readonly pcrs: readonly string[] };
}

it("is refused without anything of what it needs", async () => {
  for (const evidence of [null, {}, { version: 1 }, { version: 3 }]) {
    await expect(new AzSnpVerifier().verify(evidence, { reportData: Buffer.alloc(48) })).rejects.toHaveProperty(
      "name",
      "TrusteeError",
    );
  }
});

if (folder !== undefined) {
  const nonceOf = (evidence: Evidence): Buffer => {
    const message = Buffer.from(evidence.tpm_quote.message, "hex");
    const start = 6 + 2 + message.readUInt16BE(6);
    return message.subarray(start + 2, start + 2 + message.readUInt16BE(start));
  };

  describe.each(["v1", "v2"])("recorded evidence %s of Azure", (version) => {
    const evidence = JSON.parse(readFileSync(`${folder}/evidence-${version}.json`, "utf8")) as Evidence;
    const reportData = nonceOf(evidence);
    const verify = (change: Partial<Evidence>, expected = { reportData }): Promise<unknown> =>
      new AzSnpVerifier().verify({ ...evidence, ...change }, expected);
    const hcl = Buffer.from(evidence.hcl_report, "base64url");
    const withReport = (bytes: Buffer): Partial<Evidence> => ({ hcl_report: bytes.toString("base64url") });

    it("is accepted", async () => {
      const [verified] = await new AzSnpVerifier().verify(evidence, { reportData });
      expect(verified).toMatchObject({
        teeClass: "cpu",
        claims: { policy_debug_allowed: "false", tpm: { pcr00: evidence.tpm_quote.pcrs[0] } },
      });
      expect(verified?.claims).not.toHaveProperty("chip_id");
    });

    it("is refused for another nonce, or without one", async () => {
      await expect(verify({}, { reportData: Buffer.from("other") })).rejects.toThrow("nonce");
      await expect(new AzSnpVerifier().verify(evidence, {})).rejects.toMatchObject({ code: "mismatch" });
    });

    it("is refused after a change of any byte of report, variable data, message, signature or registers", async () => {
      const random = seeded(50);
      // The header, the part behind the hardware report's signature and what fills the variable data up are not covered.
      const end = hcl.indexOf(0, 1236);
      for (let i = 0; i < 120; i++) {
        const at = random(2) === 0 ? 32 + random(0x2a0 + 144) : 1236 + random(end - 1236);
        await expect(verify(withReport(flipped(hcl, at, random(7)))), `HCL report ${at}`).rejects.toHaveProperty(
          "name",
          "TrusteeError",
        );
      }
      for (const name of ["message", "signature"] as const) {
        for (let i = 0; i < 60; i++) {
          const bytes = Buffer.from(evidence.tpm_quote[name], "hex");
          const changed = flipped(bytes, random(bytes.length), random(8)).toString("hex");
          await expect(verify({ tpm_quote: { ...evidence.tpm_quote, [name]: changed } })).rejects.toHaveProperty(
            "name",
            "TrusteeError",
          );
        }
      }
      for (const [index, pcr] of evidence.tpm_quote.pcrs.entries()) {
        const changed = flipped(Buffer.from(pcr, "hex"), random(32), random(8)).toString("hex");
        const pcrs = evidence.tpm_quote.pcrs.with(index, changed);
        await expect(verify({ tpm_quote: { ...evidence.tpm_quote, pcrs } })).rejects.toThrow("registers");
      }
      const vcek = Buffer.from(evidence.vcek, "base64url");
      for (let i = 0; i < 60; i++) {
        const at = random(vcek.length);
        const changed = flipped(vcek, at, random(8)).toString("base64url");
        await expect(verify({ vcek: changed }), `certificate ${at}`).rejects.toHaveProperty("name", "TrusteeError");
      }
    });

    it("is refused in upstream's words where upstream's are known", async () => {
      const data = hcl.toString("latin1");
      const replaced = (from: string, to: string): Partial<Evidence> => {
        expect(data).toContain(from);
        expect(to).toHaveLength(from.length);
        return withReport(Buffer.from(data.replace(from, to), "latin1"));
      };
      await expect(verify(replaced("HCLEkPub", "HCLEkPuB"))).rejects.toThrow(
        "HCL variable data digest doesn't match SNP report data",
      );
      await expect(verify(replaced("HCLAkPub", "HCLAkPuB"))).rejects.toThrow("Failed to get AKpub");
      if (version === "v2") {
        // Bound by the hardware, though read only by whoever compares it: both notice.
        await expect(verify({}, { reportData: Buffer.concat([reportData, Buffer.of(0)]) })).rejects.toThrow("nonce");
        const hex = reportData.toString("hex");
        const other = hex.replace(/^./u, (digit) => (digit === "0" ? "1" : "0"));
        const upper = data.includes(hex) ? hex : hex.toUpperCase();
        await expect(verify(replaced(upper, data.includes(hex) ? other : other.toUpperCase()))).rejects.toThrow(
          "HCL variable data digest doesn't match SNP report data",
        );
      }
    });

    it("is bound to initdata through register 8", async () => {
      const register = Buffer.from(evidence.tpm_quote.pcrs[8] ?? "", "hex");
      for (const initDataDigest of [Buffer.alloc(32), Buffer.alloc(32, 1), register]) {
        await expect(new AzSnpVerifier().verify(evidence, { reportData, initDataDigest })).rejects.toThrow(
          "register 8",
        );
      }
      await expect(
        new AzSnpVerifier().verify(evidence, { reportData, initDataDigest: Buffer.alloc(48) }),
      ).rejects.toThrow("32 bytes");
    });

    it("is refused as of the other format where that asks for more", async () => {
      if (version === "v1") await expect(verify({ version: 2 })).rejects.toThrow("user data");
    });

    it("is read or refused, whatever the bytes of the report (seed 51)", () => {
      const random = seeded(51);
      for (let i = 0; i < 2000; i++) {
        try {
          parseHclReport(mutated(hcl, random));
        } catch (error) {
          expect(error).toHaveProperty("name", "TrusteeError");
        }
      }
    });
  });
}
