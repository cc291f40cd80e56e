import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { linuxSyscalls, mountInfo } from "@nacre/kata-sys-util";
import { Code, ImagePullService } from "@nacre/protocols";
import { TtrpcClient } from "@nacre/ttrpc";
import { dial } from "@nacre/vsock";
import { busyboxImage, type PushedImage, type Registry, startRegistry } from "../fixtures/registry.ts";
import { jsonLines, vectors } from "../setup/data.ts";

const MAIN = join(import.meta.dirname, "../../packages/confidential-data-hub/src/main.ts");
const sys = linuxSyscalls();

let registry: Registry;
let image: PushedImage;
let dir = "";
let hub: ChildProcess | undefined;
let lines: string[] = [];
beforeAll(async () => {
  registry = await startRegistry();
  image = await busyboxImage(registry, "bb:1");
});
afterAll(async () => await registry.close());
afterEach(async () => {
  await stop("SIGKILL");
  for (const { mountPoint } of (await mountInfo()).toReversed()) {
    if (dir !== "" && mountPoint.startsWith(`${dir}/`)) await sys.umount2(mountPoint);
  }
  rmSync(dir, { recursive: true, force: true });
});

async function start(image = ""): Promise<TtrpcClient> {
  dir = mkdtempSync(join(tmpdir(), "nacre-cdh-"));
  const config = join(dir, "cdh.toml");
  const socket = `unix://${dir}/run/cdh.sock`;
  const registries = `[[image.registry_config.registry]]\nlocation = "${registry.address}"\ninsecure = true\n`;
  writeFileSync(config, `socket = "${socket}"\n[image]\nwork_dir = "${dir}/image"\n${image}${registries}`);
  lines = [];
  const child = spawn(process.execPath, ["--conditions=source", MAIN, "-c", config], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  hub = child;
  const ready = Promise.withResolvers<void>();
  createInterface({ input: child.stderr }).on("line", (line) => {
    lines.push(line);
    if (line.includes("listening on")) ready.resolve();
  });
  // Not before its output is read whole.
  child.once("close", () => ready.reject(new Error(lines.join("\n"))));
  await ready.promise;
  return new TtrpcClient(await dial(socket));
}

async function stop(signal: "SIGTERM" | "SIGKILL"): Promise<[number | null, string | null]> {
  const child = hub;
  if (child === undefined) return [null, null];
  hub = undefined;
  if (child.exitCode !== null || child.signalCode !== null) return [child.exitCode, child.signalCode];
  child.kill(signal);
  return (await once(child, "exit")) as [number | null, string | null];
}

const pull = async (client: TtrpcClient, url: string, bundle: string, timeoutMs?: number): Promise<unknown> =>
  await client.call(
    ImagePullService.methods.PullImage,
    { image_url: url, bundle_path: bundle },
    timeoutMs === undefined ? {} : { timeoutMs },
  );

/** A registry that takes requests and never answers. */
async function silentRegistry(): Promise<{ server: Server; address: string; asked: Promise<void> }> {
  const asked = Promise.withResolvers<void>();
  const server = createServer(() => asked.resolve());
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { server, address: `127.0.0.1:${(server.address() as AddressInfo).port}`, asked: asked.promise };
}

describe("the daemon", () => {
  it("pulls into a bundle and ends cleanly on SIGTERM", async () => {
    const client = await start();
    const bundle = join(dir, "b");
    expect(await pull(client, image.reference, bundle)).toEqual({
      manifest_digest: image.manifestDigest,
      index_digest: null,
      config_digest: image.configDigest,
      diff_ids: image.diffIds,
    });
    expect(existsSync(join(bundle, "rootfs/bin/sh"))).toBe(true);
    expect(await stop("SIGTERM")).toEqual([0, null]);
    expect(existsSync(join(dir, "run/cdh.sock"))).toBe(false);
    await client.closed;
  });

  it("keeps its socket to itself", async () => {
    await start();
    const mode = spawnSync("stat", ["-c", "%a", join(dir, "run/cdh.sock")], { encoding: "utf8" });
    expect(mode.stdout).toBe("600\n");
  });

  it.each(["SIGTERM", "deadline", "client"] as const)("a pull in progress ends with: %s", async (how) => {
    const silent = await silentRegistry();
    const rule = `[[image.registry_config.registry]]\nlocation = "${silent.address}"\ninsecure = true\n`;
    const client = await start(rule);
    // The first pull makes the store.
    await pull(client, image.reference, join(dir, "first"));
    const before = readdirSync(dir).toSorted();
    const pulling = pull(client, `${silent.address}/x:y`, join(dir, "b"), how === "deadline" ? 500 : undefined);
    pulling.catch(() => undefined);
    // A hub that is slow has its deadline behind it before it asks the registry.
    await (how === "deadline" ? Promise.race([silent.asked, pulling.catch(() => undefined)]) : silent.asked);
    if (how === "SIGTERM") expect(await stop("SIGTERM")).toEqual([0, null]);
    if (how === "client") client.close();
    if (how === "deadline") await expect(pulling).rejects.toMatchObject({ code: Code.DEADLINE_EXCEEDED });
    // It has ended when SIGTERM ends the daemon at once and nothing of it is left.
    if (how !== "SIGTERM") expect(await stop("SIGTERM")).toEqual([0, null]);
    expect(before).toEqual(["cdh.toml", "first", "image", "run"]);
    expect(readdirSync(dir).toSorted()).toEqual(before);
    expect(readdirSync(join(dir, "image/tmp"))).toEqual([]);
    silent.server.closeAllConnections();
    silent.server.close();
  });

  it("prints its version", () => {
    const run = spawnSync(process.execPath, ["--conditions=source", MAIN, "--version"], { encoding: "utf8" });
    expect([run.status, run.stdout]).toEqual([0, "confidential-data-hub 0.1.0\n"]);
  });

  it.each([
    ['image_security_policy_uri = "https://policies.test"\n', "expected file:///PATH or kbs:///"],
    ["nonsense = 1\n", "[image] has the unknown key nonsense"],
  ])("does not start with %j", async (settings, why) => {
    await expect(start(settings)).rejects.toThrow(why);
    expect(hub?.exitCode).toBe(1);
  });

  it("does not start with a file that was named and is missing", () => {
    const run = spawnSync(process.execPath, ["--conditions=source", MAIN], {
      encoding: "utf8",
      env: { ...process.env, CDH_CONFIG_PATH: "/nonexistent/cdh.toml" },
    });
    expect(run.status).toBe(1);
    expect(run.stderr).toContain("failed to read /nonexistent/cdh.toml");
  });
});

interface Golden {
  readonly id: string;
  readonly service: string;
  readonly request: { readonly image_url: string; readonly bundle_path: string };
  readonly code?: number;
  readonly message?: string;
  readonly reply?: { readonly manifest_digest: string };
}

/**
 * Where the end of a message differs from the recorded one, and why. What callers match on, the start of it up to here,
 * is the same.
 */
const DIFFERENCES: Readonly<Record<string, { readonly until: string; readonly why: string }>> = {
  "cdh/pull-empty": { until: "Illegal image reference", why: "ours says what is wrong with it" },
  "cdh/pull-bad-ref": { until: "Illegal image reference", why: "ours says what is wrong with it" },
  "cdh/pull-refused": { until: "/v2/x/manifests/y)", why: "ours adds the cause, connection refused" },
  "cdh/pull-same-bundle": { until: "Failed to create bundle", why: "ours adds the cause, the file that exists" },
};

describe("recorded replies of the Rust hub", () => {
  const path = vectors("golden/cdh.jsonl");
  const rows = (path === undefined ? [] : jsonLines<Golden>(path)).filter(
    ({ service }) => service === "api.ImagePullService",
  );

  it("agree in code and text", async () => {
    const client = await start();
    if (path === undefined) {
      await expect(pull(client, "UPPER CASE", join(dir, "b"))).rejects.toMatchObject({
        code: Code.INTERNAL,
        message: expect.stringMatching(/^\[CDH\] \[ERROR\]: Image Pull error: Illegal image reference/) as string,
      });
      return;
    }
    expect(rows).toHaveLength(7);
    // The recorded registry and bundles were at other places, and its busybox was another build.
    const here = (text: string): string =>
      text.replaceAll("127.0.0.1:15190", registry.address).replaceAll(/\/run\/b(\d)/g, `${dir}/b$1`);
    const seen: string[] = [];
    for (const { id, request, code, message = "", reply } of rows) {
      const answer = pull(client, here(request.image_url), here(request.bundle_path));
      if (reply !== undefined) {
        expect(await answer, id).toMatchObject({ manifest_digest: image.manifestDigest });
        continue;
      }
      const difference = DIFFERENCES[id];
      if (difference !== undefined) seen.push(id);
      const end =
        difference === undefined ? message.length : message.indexOf(difference.until) + difference.until.length;
      const got = await answer.then(
        () => ({ code: 0, message: "no error" }),
        (error: unknown) => error as { code: number; message: string },
      );
      expect(got.code, id).toBe(code);
      if (difference === undefined) expect(got.message, id).toBe(here(message));
      else expect(got.message.startsWith(here(message.slice(0, end))), `${id}: ${got.message}`).toBe(true);
    }
    expect(seen.toSorted()).toEqual(Object.keys(DIFFERENCES).toSorted());
    expect(readFileSync(join(dir, "b5/config.json"), "utf8")).toContain('"args":["sh"]');
  });
});
