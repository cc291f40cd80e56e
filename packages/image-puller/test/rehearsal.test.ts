import { existsSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { digestOf } from "oci-client";
import { describe, expect, it } from "vitest";
import type { Unpacking } from "../src/image-puller.ts";
import { rehearsePull } from "../src/rehearsal.ts";
import { TarParser } from "../src/tar/parser.ts";
import type { LayerPlan } from "../src/unpack/layer-unpack.ts";

/** An unpacker that holds the digests against the plan and writes nothing. */
function checkingUnpacker(seen: { plan?: LayerPlan; names?: string[]; warm?: boolean }): Unpacking {
  return {
    warm: async () => {
      seen.warm = true;
    },
    unpack: async (plan, blob) => {
      seen.plan = plan;
      const parts: Uint8Array[] = [];
      for await (const part of blob) parts.push(Buffer.from(part));
      const bytes = Buffer.concat(parts);
      expect(digestOf(bytes)).toBe(plan.digest);
      const archive = gunzipSync(bytes);
      expect(digestOf(archive)).toBe(plan.diffId);
      const names: string[] = [];
      const parser = new TarParser({
        entry: ({ name, type }) => names.push(`${type} ${name}`),
        data: () => undefined,
        end: () => undefined,
      });
      parser.push(archive);
      parser.finish();
      seen.names = names;
      return { size: archive.length, entries: names.length, opaqueRoot: false };
    },
  };
}

describe("rehearsePull", () => {
  it("sends a whole layer through a thread that is up, and leaves nothing", async () => {
    const seen: Parameters<typeof checkingUnpacker>[0] = {};
    await rehearsePull(checkingUnpacker(seen));
    expect(seen.warm).toBe(true);
    expect(seen.plan?.compression).toBe("gzip");
    expect(seen.names).toEqual(["5 d/", "0 d/file", "1 d/link"]);
    expect(existsSync(scratchOf(seen.plan))).toBe(false);
  });

  it("leaves nothing when the layer cannot be unpacked", async () => {
    let plan: LayerPlan | undefined;
    const unpacking: Unpacking = {
      warm: () => Promise.resolve(),
      unpack: (given) => {
        plan = given;
        expect(existsSync(scratchOf(given))).toBe(true);
        return Promise.reject(new Error("no thread"));
      },
    };
    await expect(rehearsePull(unpacking)).rejects.toThrow("no thread");
    expect(plan).toBeDefined();
    expect(existsSync(scratchOf(plan))).toBe(false);
  });
});

/** SCRATCH/store/tmp/RANDOM/files */
function scratchOf(plan: LayerPlan | undefined): string {
  return plan?.directory.split("/store/")[0] ?? "/";
}
