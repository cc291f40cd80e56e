import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { podManifest, type PodName } from "../fixtures/generated-pod.ts";
import { processesWith } from "../fixtures/machine-facts.ts";
import { type CommandResult, NACRE, NacreCommand, type RunningCommand } from "../fixtures/nacre-command.ts";
import { NetworkNamespace } from "../fixtures/network-namespace.ts";
import { pushPodImages } from "../fixtures/pod-images.ts";
import { type Registry, startRegistry } from "../fixtures/registry.ts";

const PORT = 5000;
const MIRROR = ["--mirror", `docker.io=gateway:${PORT}`];

/** What the pods of `pods/` print, line by line, with their containers' names where there are several. */
/** Of those that need no key broker. */
const OUTPUTS: Readonly<Record<Exclude<PodName, "sealed">, readonly string[]>> = {
  job: ["3.14000"],
  deployment: [
    "worker_processes auto;",
    "events { worker_connections 1024; }",
    "<h1>it works</h1>hello from the ConfigMap on web-6b7f9c8d54-x7k2p",
    "101",
    "x",
  ],
  statefulset: ["/data", "999", "store-0 of x", "22"],
  multi: ["prepare | prepared", "app | prepared", "app | got", "sidecar | sidecar of shop", "sidecar | state"],
};

function pod(script: string, more = ""): string {
  const command = JSON.stringify(["sh", "-c", script]);
  return `kind: Pod\nmetadata: {name: a}\nspec:\n  containers: [{name: main, image: "tool:1", command: ${command}}]\n${more}`;
}

describe("nacre run -f", () => {
  let dir: string;
  let network: NetworkNamespace;
  const registries: Registry[] = [];
  let nacre: NacreCommand;
  beforeAll(async () => {
    // Sockets have short names only: not below the system's temporary folder.
    dir = mkdtempSync("/run/nacre-test-");
    network = new NetworkNamespace();
    // Pushed outside, served inside.
    const pushed = await startRegistry();
    registries.push(pushed);
    await pushPodImages(pushed);
    const { within } = network;
    registries.unshift(await startRegistry({ address: `0.0.0.0:${PORT}`, within, storage: pushed.storage }));
    nacre = new NacreCommand(dir);
  });
  afterEach(() => {
    // Each run takes everything away that it made.
    expect(existsSync(join(dir, "guests")) ? readdirSync(join(dir, "guests")) : []).toEqual([]);
    expect(processesWith(`${dir} `)).toEqual([]);
  });
  afterAll(async () => {
    for (const registry of registries) await registry.close();
    network?.[Symbol.dispose]();
    rmSync(dir, { recursive: true, force: true });
  });

  const start = (text: string, ...more: readonly string[]): RunningCommand => {
    const path = join(dir, "pod.yaml");
    writeFileSync(path, text);
    return nacre.start(["run", "-f", path, ...MIRROR, ...more], [...network.within, ...NACRE]);
  };
  const run = async (text: string, more: readonly string[] = [], input = ""): Promise<CommandResult> => {
    const { child, result } = start(text, ...more);
    child.stdin?.end(input);
    return await result;
  };

  it.each(Object.entries(OUTPUTS))("runs the pod of %s", async (name, lines) => {
    const { status, stdout, stderr } = await run(podManifest(name as PodName));
    expect(stderr).toMatch(/^policy of \w+ [\w-]+: sha256 [0-9a-f]{64}; it allows the \d+ requests of such a pod\n/u);
    // Containers beside each other write in any order, and the sidecar may look before the app has made its file.
    const written = stdout
      .trimEnd()
      .split("\n")
      .filter((line) => line !== "sidecar | ready");
    expect(written.toSorted(byText)).toEqual(lines.toSorted(byText));
    expect(status).toBe(0);
  });

  it("refuses the pod of sealed where nobody opens its secret, and says why", async () => {
    const { status, stdout, stderr } = await run(podManifest("sealed"));
    expect({ status, stdout }).toEqual({ status: 125, stdout: "" });
    expect(stderr).toContain('unsealing the environment\'s "KEY"');
    expect(stderr).toContain("Unseal Secret failed");
  });

  it("passes input to the container that takes it", async () => {
    const { status, stdout } = await run(podManifest("multi"), ["-i"], "hello\n");
    expect(stdout).toContain("app | got hello\n");
    expect(status).toBe(0);
  });

  it("gives the status and, as JSON, the output of each container", async () => {
    expect((await run(pod("echo out; exit 7"))).status).toBe(7);
    const { status, stdout } = await run(pod("echo out; echo err >&2; exit 7"), ["--json"]);
    expect(status).toBe(7);
    const told = JSON.parse(stdout) as { readonly containers: readonly object[] };
    expect(told.containers).toEqual([{ name: "main", status: 7, stdout: "out\n", stderr: "err\n" }]);
  });

  it("does not go on after an init container that fails", async () => {
    const init = '  initContainers: [{name: first, image: "tool:1", command: [sh, -c, "echo no; exit 3"]}]\n';
    const { status, stdout, stderr } = await run(pod("echo never", init));
    expect({ status, stdout }).toEqual({ status: 125, stdout: "first | no\n" });
    expect(stderr).toMatch(/nacre: init container first ended with 3\n$/u);
  });

  it("keeps a restartable init container beside the others, and ends it with the pod", async () => {
    const sidecar = '"trap : TERM; echo up > /v/up; sleep 1000"';
    const text = `kind: Pod
metadata: {name: a}
spec:
  volumes: [{name: v, emptyDir: {}}]
  initContainers:
    - {name: side, image: "tool:1", restartPolicy: Always, command: [sh, -c, ${sidecar}], volumeMounts: [{name: v, mountPath: /v}]}
  containers:
    - {name: main, image: "tool:1", command: [sh, -c, "until cat /v/up 2>/dev/null; do :; done"], volumeMounts: [{name: v, mountPath: /v}]}
`;
    expect(await run(text)).toMatchObject({ status: 0, stdout: "main | up\n" });
  });

  it("asks the containers to end on a signal", async () => {
    const { child, result, shows } = start(pod("trap 'echo bye; exit 9' TERM; echo up; while :; do sleep 1; done"));
    await shows("up\n");
    child.kill("SIGINT");
    expect(await result).toMatchObject({ status: 9, stdout: "up\nbye\n" });
  });

  it("leaves the pod to other commands with -d, which its policy holds to what the manifest names", async () => {
    const exec = (...command: readonly string[]) => nacre.run(["exec", "app", "--", ...command]);
    try {
      const started = await run(podManifest("multi"), ["-d", "--exec-allow", "ls /shared"]);
      expect(started).toMatchObject({ status: 0, stdout: "prepare | prepared\napp\nsidecar\n" });
      // The probes' commands, the owner's, and no other.
      expect(await exec("echo", "ready in fast")).toMatchObject({ status: 0, stdout: "ready in fast\n" });
      expect(await exec("ls", "/shared")).toMatchObject({ status: 0 });
      for (const command of [["sh"], ["ls", "/"], ["echo", "ready in", "fast"]]) {
        const refused = await exec(...command);
        expect(refused).toMatchObject({ status: 125, stdout: "" });
        expect(refused.stderr).toContain("ExecProcessRequest is blocked by policy");
      }
      const more = await nacre.run(["run", "library/tool:1", "--", "id"]);
      expect(more.status).toBe(125);
      const policy = await nacre.run(["rpc", "SetPolicy", '{"policy":"package agent_policy"}']);
      expect(policy.stderr).toContain("SetPolicyRequest is blocked by policy");
    } finally {
      expect((await nacre.run(["guest", "stop"])).status).toBe(0);
    }
  });

  it("starts no guest for a manifest of which there is no policy", async () => {
    const { status, stderr } = await run(pod("true", "  hostPID: true\n"));
    expect(status).toBe(125);
    expect(stderr).toMatch(/^nacre: \S+pod\.yaml:5: spec\.hostPID: true/u);
  });

  it.each([
    ["neither", ["run"]],
    ["both", ["run", "-f", "x", "image"]],
    ["an image's options with a manifest", ["run", "-f", "x", "--user", "1"]],
    ["a manifest's options with an image", ["run", "image", "--exec-allow", "x"]],
  ])("needs an image or a manifest: %s", async (_, args) => {
    expect(await nacre.run(args)).toMatchObject({ status: 2, stdout: "" });
  });
});

function byText(a: string, b: string): number {
  return a < b ? -1 : Number(a > b);
}
