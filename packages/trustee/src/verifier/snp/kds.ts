import { TrusteeError } from "../../error.ts";
import { MAX_CERTIFICATE } from "../certificate.ts";
import type { SnpGeneration } from "./generation.ts";
import { hardwareIdText } from "./offline-store.ts";
import type { TcbVersion } from "./report.ts";
import type { VcekSource } from "./snp-verifier.ts";

/** Gets bytes over HTTPS, at most so many; rejects for any other status than 200. */
export type FetchBytes = (url: string, maximum: number) => Promise<Uint8Array>;

/** Certificates kept: a chip's changes with its versions only, and AMD's service limits how often it is asked. */
const CACHED = 1024;

/** AMD's key distribution service. One request a chip and version, however many guests wait for it. */
export function keyDistributionService(base: string, fetchBytes: FetchBytes): VcekSource {
  const cache = new Map<string, Promise<Uint8Array>>();
  return {
    find: async (generation, chipId, tcb) => {
      const url = `${base}${vcekPath(generation, chipId, tcb)}`;
      let pending = cache.get(url);
      if (pending === undefined) {
        pending = fetchBytes(url, MAX_CERTIFICATE);
        cache.set(url, pending);
        const [oldest] = cache.keys();
        if (cache.size > CACHED && oldest !== undefined) cache.delete(oldest);
      }
      try {
        return await pending;
      } catch (cause) {
        if (cache.get(url) === pending) cache.delete(url);
        throw new TrusteeError("collateral", "AMD's key distribution service: no certificate for this chip", { cause });
      }
    },
  };
}

/** Path and query of a chip's certificate at its reported versions. */
export function vcekPath(generation: SnpGeneration, chipId: Buffer, tcb: TcbVersion): string {
  const versions: readonly (readonly [string, number | undefined])[] = [
    ["fmcSPL", tcb.fmc],
    ["blSPL", tcb.bootloader],
    ["teeSPL", tcb.tee],
    ["snpSPL", tcb.snp],
    ["ucodeSPL", tcb.microcode],
  ];
  const query = versions.flatMap(([name, value]) =>
    value === undefined ? [] : [`${name}=${String(value).padStart(2, "0")}`],
  );
  return `/vcek/v1/${generation}/${hardwareIdText(generation, chipId)}?${query.join("&")}`;
}
