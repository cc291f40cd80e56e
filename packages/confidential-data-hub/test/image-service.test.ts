import { describe, expect, it } from "vitest";
import { Code, ImagePullService } from "@nacre/protocols";
import { RpcError, TtrpcClient, TtrpcServer, transportPair } from "@nacre/ttrpc";
import { PullError, type PulledImage } from "@nacre/image-puller";
import { imageService, type Puller } from "../src/index.ts";

const image: PulledImage = {
  reference: "r.test/x",
  indexDigest: "sha256:1",
  manifestDigest: "sha256:2",
  configDigest: "sha256:3",
  diffIds: ["sha256:4"],
};

function serve(open: () => Promise<Puller>): { client: TtrpcClient; lines: string[] } {
  const lines: string[] = [];
  const [near, far] = transportPair();
  new TtrpcServer()
    .addService(
      ImagePullService,
      imageService(open, (_level, text) => lines.push(text)),
    )
    .serve(far);
  return { client: new TtrpcClient(near), lines };
}
const call = async (
  client: TtrpcClient,
  options: { timeoutMs?: number; signal?: AbortSignal } = {},
): Promise<unknown> =>
  await client.call(ImagePullService.methods.PullImage, { image_url: "r.test/x", bundle_path: "/b" }, options);

describe("PullImage", () => {
  it("passes on what was asked and answers with every digest", async () => {
    const asked: unknown[] = [];
    const { client } = serve(async () => ({
      pull: async (...args) => {
        asked.push(args.slice(0, 2));
        return image;
      },
    }));
    expect(await call(client)).toEqual({
      manifest_digest: "sha256:2",
      index_digest: "sha256:1",
      config_digest: "sha256:3",
      diff_ids: ["sha256:4"],
    });
    expect(asked).toEqual([["r.test/x", "/b"]]);
  });

  it("answers INTERNAL with the hub's prefix and the puller's text", async () => {
    const { client, lines } = serve(async () => ({
      pull: async () => {
        throw new PullError("pull", "Failed to pull image r.test/x from all … error: Not authorized");
      },
    }));
    const message = "[CDH] [ERROR]: Image Pull error: Failed to pull image r.test/x from all … error: Not authorized";
    await expect(call(client)).rejects.toMatchObject({ code: Code.INTERNAL, message });
    expect(lines).toContain(message);
  });

  it("makes the puller with the first pull, and tries again when that failed", async () => {
    let opened = 0;
    const { client } = serve(async () => {
      opened += 1;
      if (opened === 1) throw new Error("no credentials yet");
      return { pull: async () => image };
    });
    await expect(call(client)).rejects.toThrow("[CDH] [ERROR]: Image Pull error: no credentials yet");
    await Promise.all([call(client), call(client)]);
    await call(client);
    expect(opened).toBe(2);
  });

  it("answers one call while another pulls", async () => {
    const slow = Promise.withResolvers<PulledImage>();
    let first = true;
    const { client } = serve(async () => ({
      pull: async () => {
        if (!first) return image;
        first = false;
        return await slow.promise;
      },
    }));
    const waiting = call(client);
    expect(await call(client)).toMatchObject({ manifest_digest: "sha256:2" });
    slow.resolve({ ...image, manifestDigest: "sha256:9" });
    expect(await waiting).toMatchObject({ manifest_digest: "sha256:9" });
  });

  it("aborts the pull at the call's deadline", async () => {
    const aborted = Promise.withResolvers<unknown>();
    const { client } = serve(async () => ({
      pull: async (_image, _bundle, signal) =>
        await new Promise((_, reject) => {
          signal?.addEventListener("abort", () => {
            aborted.resolve(signal.reason);
            reject(signal.reason as Error);
          });
        }),
    }));
    await expect(call(client, { timeoutMs: 20 })).rejects.toBeInstanceOf(RpcError);
    expect(await aborted.promise).toBeInstanceOf(Error);
  });

  it("knows no other services", async () => {
    const { client } = serve(async () => ({ pull: async () => image }));
    const unknown = {
      ...ImagePullService.methods.PullImage,
      path: "/api.GetResourceService/GetResource",
      service: "api.GetResourceService",
      name: "GetResource",
    };
    await expect(client.call(unknown, {})).rejects.toMatchObject({
      code: Code.INVALID_ARGUMENT,
      message: "api.GetResourceService service does not exist",
    });
  });
});
