import { createHash } from "node:crypto";

import type { Attester, RuntimeMeasurement } from "@nacre/attesters";
import type { KbsClock, KbsHttp } from "@nacre/kbs-protocol";

import { AttestationAgent, type AgentParts, parseConfig } from "../src/index.ts";

/** A register file that counts what was done to it. */
export class Registers implements RuntimeMeasurement {
  readonly hash = "sha384";
  readonly values = new Map<number, Buffer>();
  extends = 0;

  register(pcr: number): number | undefined {
    return pcr === 23 ? undefined : (pcr % 4) + 1;
  }

  read(register: number): Promise<Buffer> {
    return Promise.resolve(this.values.get(register) ?? Buffer.alloc(48));
  }

  async extend(register: number, digest: Uint8Array): Promise<void> {
    this.extends += 1;
    const value = createHash("sha384")
      .update(await this.read(register))
      .update(digest)
      .digest();
    this.values.set(register, value);
  }
}

export const clock: KbsClock = { monotonic: () => 0, sleep: () => Promise.resolve() };

export const noHttp: KbsHttp = { send: () => Promise.reject(new Error("no network")) };

export function attester(measurement?: RuntimeMeasurement): Attester {
  return {
    tee: "sample",
    evidence: (data) => Promise.resolve(`{"report_data":"${Buffer.from(data).toString("base64")}","svn":"1"}`),
    bindInitdata: () => Promise.resolve("unsupported"),
    measurement,
  };
}

/** An agent over fakes; `lines` are its log's. */
export function agent(parts: Partial<AgentParts> = {}): { readonly agent: AttestationAgent; readonly lines: string[] } {
  const lines: string[] = [];
  return {
    lines,
    agent: new AttestationAgent({
      config: parseConfig({}).config,
      attester: attester(),
      devices: [],
      initdata: undefined,
      eventLog: undefined,
      http: () => Promise.resolve(noHttp),
      clock,
      log: (level, text) => void lines.push(`${level} ${text}`),
      ...parts,
    }),
  };
}
