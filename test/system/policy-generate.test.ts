import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { PODS, podManifest } from "../fixtures/generated-pod.ts";
import { NacreCommand } from "../fixtures/nacre-command.ts";
import { pushPodImages } from "../fixtures/pod-images.ts";
import { busyboxImage, type PushedImage, type Registry, startRegistry } from "../fixtures/registry.ts";

interface Generated {
  readonly workload: object;
  readonly images: ReadonlyArray<{ readonly reference: string; readonly manifestDigests: readonly string[] }>;
  readonly notes: readonly string[];
  readonly requests: number;
  readonly policy: string;
}

describe("nacre policy generate", () => {
  let dir: string;
  let registry: Registry;
  let images: ReadonlyMap<string, PushedImage>;
  let nacre: NacreCommand;
  let flags: readonly string[];
  beforeAll(async () => {
    dir = mkdtempSync(join(tmpdir(), "nacre-generate-"));
    nacre = new NacreCommand(dir);
    registry = await startRegistry();
    images = await pushPodImages(registry);
    flags = ["--mirror", `docker.io=${registry.address}`, "--insecure-registry", registry.address];
  });
  afterAll(async () => {
    await registry.close();
    rmSync(dir, { recursive: true });
  });

  const file = (name: string, text: string): string => {
    const path = join(dir, name);
    writeFileSync(path, text);
    return path;
  };
  const generate = (name: string, text: string, ...more: readonly string[]) =>
    nacre.run(["policy", "generate", file(name, text), ...flags, ...more]);

  it.each(PODS)("pins the images of %s and checks the policy", async (name) => {
    const path = file(`${name}.yaml`, podManifest(name));
    const made = await nacre.json<Generated>(["policy", "generate", path, ...flags, "--json"]);
    expect(made.requests).toBeGreaterThan(20);
    for (const { reference, manifestDigests } of made.images) {
      expect(manifestDigests).toEqual([images.get(reference)?.manifestDigest]);
      expect(made.policy).toContain(`${reference} = ${manifestDigests[0]}`);
    }
    expect(made.notes.join()).toContain(name === "statefulset" ? "a value of Secret store-password" : "");
    const policy = file(`${name}.rego`, made.policy);
    expect(await nacre.run(["policy", "check", policy])).toMatchObject({ status: 0, stderr: "" });
  });

  it("takes users and their groups from the image's own files", async () => {
    const text = "kind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: a, image: 'store:7', args: [x]}]}";
    const args = ["policy", "generate", file("store.yaml", text), ...flags, "--json"];
    const { policy } = await nacre.json<Generated>(args);
    const start = policy.indexOf('"user": {');
    const user: unknown = JSON.parse(policy.slice(start + 8, policy.indexOf("}", start) + 1));
    expect(user).toEqual({ uid: 999, gid: 1000, groups: [[1000, 1002], [1000]] });
  });

  it("prints the policy, or writes it and says on standard error what it is", async () => {
    const printed = await generate("job.yaml", podManifest("job"));
    expect(printed.status).toBe(0);
    expect(printed.stdout).toMatch(/^# Policy of Job pi, made by nacre policy generate\./u);
    expect(printed.stderr).toMatch(
      /^policy of Job pi: sha256 [0-9a-f]{64}; it allows the \d+ requests of such a pod\n$/u,
    );
    const output = join(dir, "out.rego");
    const written = await generate("job.yaml", podManifest("job"), "-o", output);
    expect(written).toEqual({ ...printed, stdout: "" });
    expect(readFileSync(output, "utf8")).toBe(printed.stdout);
  });

  it("reads standard input, and what the owner allows beside the manifest", async () => {
    const more = ["--log-allow", "--exec-allow", "ls -l", "--exec-allow", '["sh","-c","a b"]', "-n", "prod", "--json"];
    const made = await nacre.json<Generated>(["policy", "generate", "-", ...flags, ...more], podManifest("job"));
    expect(made.workload).toEqual({ kind: "Job", name: "pi", namespace: "prod" });
    const data = made.policy.replaceAll(/\s+/gu, "");
    expect(data).toContain('"exec":[["ls","-l"],["sh","-c","ab"]],"exec_stdin":false,"logs":true');
  });

  it.each([
    [
      "a manifest's mistake, with its line",
      "kind: Pod\nmetadata: {name: a}\nspec: {magic: 1, containers: [{name: a, image: 'job:5.34'}]}",
      1,
      /^nacre: .*bad\.yaml:3: spec\.magic: not known/u,
    ],
    [
      "an image that is not there",
      "kind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: a, image: 'none:1'}]}",
      1,
      /^nacre: image none:1: /u,
    ],
    [
      "an image of another platform",
      "kind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: a, image: 'not a name'}]}",
      2,
      /^nacre: image not a name: Illegal/u,
    ],
  ])("fails for %s", async (_, text, status, message) => {
    const result = await generate("bad.yaml", text);
    expect(result).toMatchObject({ status, stdout: "", stderr: expect.stringMatching(message) as string });
    expect(result.stderr.trim().split("\n")).toHaveLength(1);
  });

  it("needs its flags right", async () => {
    for (const wrong of [
      ["--exec-allow", "[1]"],
      ["--platform", "linux"],
      ["--mirror", "x"],
    ]) {
      expect(await generate("job.yaml", podManifest("job"), ...wrong)).toMatchObject({ status: 2, stdout: "" });
    }
    expect(await nacre.run(["policy", "generate", join(dir, "absent.yaml")])).toMatchObject({ status: 1 });
  });

  it("pins what a name stands for on the platform that is meant", async () => {
    const arm = await busyboxImage(registry, "library/arm:1", { platform: { os: "linux", architecture: "arm64" } });
    const text = "kind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: a, image: 'arm:1'}]}";
    const path = file("arm.yaml", text);
    const {
      images: [image],
    } = await nacre.json<Generated>(["policy", "generate", path, ...flags, "--platform", "linux/arm64", "--json"]);
    expect(image?.manifestDigests).toEqual([arm.manifestDigest]);
  });
});
