import {
  encryptReply,
  formatKbsError,
  type KbsErrorVariant,
  type KbsReply,
  type KbsRequest,
  REASON_DOMAIN,
  TeeKey,
} from "@nacre/kbs-protocol";
import { Code, GetResourceService } from "@nacre/protocols";
import { errorInfo, reasonOf, RpcError, TtrpcClient, TtrpcServer, transportPair } from "@nacre/ttrpc";
import { describe, expect, it } from "vitest";

import { brokerResources, HubError, noResources, resourceService, type Resources } from "../../src/index.ts";

const clock = { monotonic: () => 0, sleep: () => Promise.resolve() };
const SECRET = "what only this guest may know";

function serve(resources: Resources): { get: (name: string) => Promise<string>; lines: string[] } {
  const lines: string[] = [];
  const [near, far] = transportPair();
  new TtrpcServer()
    .addService(
      GetResourceService,
      resourceService(resources, (level, text) => lines.push(`${level} ${text}`)),
    )
    .serve(far);
  const client = new TtrpcClient(near);
  return {
    lines,
    get: async (ResourcePath) => {
      const { Resource } = await client.call(GetResourceService.methods.GetResource, { ResourcePath });
      return Buffer.from(Resource).toString();
    },
  };
}

/** A broker that answers one request after the other, and what it was asked. */
async function broker(
  replies: readonly ((key: TeeKey) => KbsReply | Promise<KbsReply>)[],
): Promise<{ resources: Resources; asked: KbsRequest[]; tokens: boolean[] }> {
  const key = await TeeKey.generate("ECDH-ES+A256KW-P256");
  const asked: KbsRequest[] = [];
  const tokens: boolean[] = [];
  const resources = brokerResources({
    url: "https://broker.test/",
    clock,
    tokens: {
      get: (stale) => {
        tokens.push(stale !== undefined);
        return Promise.resolve({ token: `token${tokens.length}`, key });
      },
    },
    http: () =>
      Promise.resolve({
        send: async (request) => {
          asked.push(request);
          const reply = replies[asked.length - 1];
          if (reply === undefined) throw new Error("asked too often");
          return await reply(key);
        },
      }),
  });
  return { resources, asked, tokens };
}

const gives = (key: TeeKey): KbsReply => ({
  status: 200,
  cookies: [],
  body: encryptReply(Buffer.from(SECRET), key.publicKey),
});
const never = new AbortController().signal;
const refuses = (variant: KbsErrorVariant) => (): KbsReply => ({
  cookies: [],
  ...formatKbsError(variant, "why it is so"),
});

describe("GetResource", () => {
  it("asks with the agent's token and decrypts with its key", async () => {
    const { resources, asked, tokens } = await broker([gives]);
    expect(await serve(resources).get("kbs:///one/two/three")).toBe(SECRET);
    expect(asked.map(({ url, headers }) => [url, headers["authorization"]])).toEqual([
      ["https://broker.test/kbs/v0/resource/one/two/three", "Bearer token1"],
    ]);
    expect(tokens).toEqual([false]);
  });

  it("has the agent drop a token that the broker does not take, once", async () => {
    const { resources, asked, tokens } = await broker([refuses("TokenVerifierError"), gives]);
    expect(await serve(resources).get("kbs+plugin:///a?b=c")).toBe(SECRET);
    expect(tokens).toEqual([false, true]);
    expect(asked.map(({ url }) => url)).toEqual(Array(2).fill("https://broker.test/kbs/v0/plugin/a?b=c"));

    const again = await broker([refuses("TokenVerifierError"), refuses("TokenVerifierError")]);
    await expect(serve(again.resources).get("kbs:///a/b/c")).rejects.toMatchObject({ code: 13 });
    expect(again.tokens).toEqual([false, true]);
  });

  it("says why there is none, and tries nothing again that would be refused again", async () => {
    const { resources, tokens } = await broker([refuses("PolicyDeny")]);
    const { get, lines } = serve(resources);
    await expect(get("kbs:///a/b/c")).rejects.toThrow(/^\[CDH\] \[ERROR\]: Get Resource failed: .*PolicyDeny/u);
    expect(tokens).toEqual([false]);
    expect(lines.join("\n")).toMatch(/info getting resource "kbs:\/\/\/a\/b\/c"\nerror \[CDH\].*PolicyDeny/u);
  });

  it.each([
    [noResources("nobody is configured"), "[CDH] [ERROR]: Get Resource failed: nobody is configured"],
    [
      {
        close: () => {},
        get: () => Promise.reject(new HubError("agent", "it is away", { cause: new Error("ENOENT") })),
      },
      "[CDH] [ERROR]: kbs client initialization failed: it is away\n\nCaused by:\n    ENOENT",
    ],
  ])("answers with upstream's sentences: %#", async (resources, message) => {
    await expect(serve(resources).get("kbs:///a/b/c")).rejects.toMatchObject({ code: 13, message });
  });

  it.each<[Resources["get"], string | undefined]>([
    [async () => (await broker([refuses("PolicyDeny")])).resources.get("kbs:///a/b/c", never), "DENIED"],
    [async () => (await broker([refuses("PluginInternalError")])).resources.get("kbs:///a/b/c", never), "MISSING"],
    [() => Promise.reject(new HubError("agent", "away")), "UNREACHABLE"],
    [() => Promise.reject(new HubError("config", "none")), "UNREACHABLE"],
    [async () => (await broker([])).resources.get("x", never), "MALFORMED"],
    [
      () =>
        Promise.reject(
          new HubError("attestation", "no token", {
            cause: new RpcError(Code.INTERNAL, "", { details: [errorInfo(REASON_DOMAIN, "DENIED")] }),
          }),
        ),
      "DENIED",
    ],
    [
      () => Promise.reject(new HubError("attestation", "x", { cause: new RpcError(Code.UNAVAILABLE, "gone") })),
      "UNREACHABLE",
    ],
    [() => Promise.reject(AbortSignal.abort(new DOMException("late", "TimeoutError")).reason as Error), "UNREACHABLE"],
    [() => Promise.reject(new Error("something else")), undefined],
  ])("tells programs why: %#", async (get, reason) => {
    const error = await serve({ get, close: () => {} })
      .get("kbs:///a/b/c")
      .catch((e: unknown) => e);
    expect(error).toMatchObject({ code: Code.INTERNAL });
    expect(reasonOf(error, REASON_DOMAIN)).toBe(reason);
  });

  it("asks nobody for what is no resource's name", async () => {
    const { resources, tokens } = await broker([]);
    for (const name of ["", "repo/type/tag", "http:///a/b/c", "kbs:///", "kbs+:///a/b/c"]) {
      await expect(serve(resources).get(name)).rejects.toThrow(
        "[CDH] [ERROR]: Get Resource failed: resource: expected",
      );
    }
    expect(tokens).toEqual([]);
  });

  it("ends with its caller", async () => {
    const started = Promise.withResolvers<void>();
    const ended = Promise.withResolvers<unknown>();
    const resources = brokerResources({
      url: "https://broker.test",
      clock,
      http: () => Promise.resolve({ send: () => Promise.reject(new Error("not reached")) }),
      tokens: {
        get: async (_stale, signal) => {
          started.resolve();
          signal.addEventListener("abort", () => ended.resolve(signal.reason));
          return await new Promise<never>(() => undefined);
        },
      },
    });
    const caller = new AbortController();
    void resources.get("kbs:///a/b/c", caller.signal).catch(() => undefined);
    await started.promise;
    caller.abort(new Error("gone"));
    expect(await ended.promise).toMatchObject({ message: "gone" });
  });
});
