import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { formatAgentToken, TeeKey } from "@nacre/kbs-protocol";
import { AttestationAgentService } from "@nacre/protocols";
import { TtrpcServer } from "@nacre/ttrpc";
import { listen, type Listener } from "@nacre/vsock";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { AgentTokens } from "../../src/index.ts";

const { signal } = new AbortController();

let folder: string;
let tokens: AgentTokens;
let stop: () => Promise<void>;
let asked: boolean[];
/** What the agent keeps. */
let kept: string;
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "nacre-tokens-"));
  asked = [];
  kept = "token-0";
  stop = await agent();
  tokens = new AgentTokens(`unix://${folder}/aa.sock`);
});
afterEach(async () => {
  tokens.close();
  await stop();
  rmSync(folder, { recursive: true });
});

async function agent(): Promise<() => Promise<void>> {
  const key = await TeeKey.generate();
  const server = new TtrpcServer().addService(AttestationAgentService, {
    GetToken: async ({ fresh }) => {
      asked.push(fresh === true);
      if (fresh === true) kept = `token-${asked.length}`;
      await new Promise((resolve) => setImmediate(resolve));
      return { Token: formatAgentToken({ token: kept, key }) };
    },
  });
  const listener: Listener = await listen(`unix://${folder}/aa.sock`, (transport) => void server.serve(transport));
  return async () => {
    await listener.close();
    await server.close({ graceMs: 0 });
  };
}

describe("AgentTokens", () => {
  it("asks for each request, once for those of one time, and parses a token once", async () => {
    const all = await Promise.all(Array.from({ length: 1000 }, () => tokens.get(undefined, signal)));
    expect(new Set(all).size).toBe(1);
    expect(asked).toEqual([false]);
    expect(await tokens.get(undefined, signal)).toBe(all[0]);
    expect(asked).toEqual([false, false]);
  });

  it("renews a stale token once, however many were refused for it", async () => {
    const stale = await tokens.get(undefined, signal);
    const all = await Promise.all(Array.from({ length: 1000 }, () => tokens.get(stale, signal)));
    expect(new Set(all.map(({ token }) => token))).toEqual(new Set(["token-2"]));
    // One that is late.
    expect((await tokens.get(stale, signal)).token).toBe("token-2");
    expect(asked).toEqual([false, true]);
  });

  it("finds an agent that was started again, and says when there is none", async () => {
    expect((await tokens.get(undefined, signal)).token).toBe("token-0");
    await stop();
    await expect(tokens.get(undefined, signal)).rejects.toMatchObject({ name: "HubError", code: "agent" });
    stop = await agent();
    expect((await tokens.get(undefined, signal)).token).toBe("token-0");
  });

  it("lets each caller give up alone", async () => {
    const caller = new AbortController();
    const gone = tokens.get(undefined, caller.signal);
    const stays = tokens.get(undefined, signal);
    caller.abort(new Error("gone"));
    await expect(gone).rejects.toThrow("gone");
    expect((await stays).token).toBe("token-0");
    await expect(tokens.get(undefined, caller.signal)).rejects.toThrow("gone");
  });
});
