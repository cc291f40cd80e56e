import { describe, expect, it } from "vitest";
import { GenPolicyError, type ImageFacts, type Pod, podPolicy, readDocuments, readPod } from "../src/index.ts";

const IMAGE: ImageFacts = {
  names: ["docker.io/library/web:1", "web:1"],
  manifestDigests: [`sha256:${"a".repeat(64)}`],
  entrypoint: ["/entry"],
  cmd: ["serve"],
  env: ["PATH=/bin", "MODE=image"],
  workingDir: "/srv",
  user: "app",
  stopSignal: "SIGQUIT",
  volumes: [],
  passwd: "root:x:0:0:root:/:/bin/sh\napp:x:1000:100:App:/srv:/bin/sh\n",
  group: "root:x:0:\nusers:x:100:\naudio:x:29:app,other\n",
};

async function pod(text: string, facts: Partial<ImageFacts> = {}, workload?: string): Promise<Pod> {
  const documents = readDocuments([{ name: "pod.yaml", text }]);
  const images = (): Promise<ImageFacts> => Promise.resolve({ ...IMAGE, ...facts });
  return await readPod(documents, { namespace: "default", images, workload });
}

/** A Pod whose one container has these further lines. */
function one(...lines: readonly string[]): string {
  return [
    "kind: Pod",
    "metadata: {name: web}",
    "spec:",
    "  containers:",
    "    - name: web",
    "      image: web:1",
    ...lines.map((line) => `      ${line}`),
  ].join("\n");
}

/** What the policy says of that container. */
async function container(lines: readonly string[], facts: Partial<ImageFacts> = {}) {
  const found = podPolicy(await pod(one(...lines), facts)).containers["web"];
  if (found === undefined) throw new Error("no container web");
  return found;
}

describe("a container", () => {
  it("is its image where the manifest says nothing", async () => {
    expect(await container([])).toMatchObject({
      images: IMAGE.names,
      manifest_digests: IMAGE.manifestDigests,
      args: ["/entry", "serve"],
      env: ["PATH=/bin", "MODE=image"],
      env_patterns: [{ pattern: "HOSTNAME=$(hostname)" }],
      cwd: "/srv",
      user: {
        uid: 1000,
        gid: 100,
        groups: [[100, 29], [100]],
      },
      signals: [3],
      no_new_privileges: false,
      readonly_root: false,
      exec: [],
    });
  });

  it.each([
    [[], ["/entry", "serve"]],
    [["args: [other]"], ["/entry", "other"]],
    [["command: [/bin/x]"], ["/bin/x"]],
    [
      ["command: [/bin/x]", "args: [arg]"],
      ["/bin/x", "arg"],
    ],
  ])("takes its command line from both: %j", async (lines, args) => {
    expect((await container(lines)).args).toEqual(args);
  });

  it("replaces references as the kubelet does", async () => {
    const lines = [
      'args: ["$(A)", "$$(A)", "$(NONE)", "$(", "$A", "$(B)"]',
      "env: [{name: A, value: one}, {name: B, value: $(A)-two}, {name: C, value: $(D)}, {name: D, value: late}]",
    ];
    const { args, env } = await container(lines);
    expect(args).toEqual(["/entry", "one", "$(A)", "$(NONE)", "$(", "$A", "one-two"]);
    expect(env).toEqual(expect.arrayContaining(["A=one", "B=one-two", "C=$(D)", "D=late"]));
  });

  it.each([
    ["runAsUser: 5", { uid: 5, gid: 0, groups: [[0]] }],
    ["runAsUser: 1000", { uid: 1000, gid: 100, groups: [[100, 29], [100]] }],
    ["runAsGroup: 7", { uid: 1000, gid: 7, groups: [[7, 29], [7]] }],
  ])("resolves users by the image's files: %s", async (line, user) => {
    expect((await container([`securityContext: {${line}}`])).user).toEqual(user);
  });

  it.each([
    ["1000:audio", 1000, 29],
    ["app:5", 1000, 5],
    ["", 0, 0],
    ["77", 77, 0],
  ])("takes the image's user %j", async (user, uid, gid) => {
    expect((await container([], { user })).user).toMatchObject({ uid, gid });
  });

  it("adds and drops capabilities", async () => {
    const of = async (change: string): Promise<readonly string[]> =>
      (await container([`securityContext: {capabilities: {${change}}}`])).capabilities;
    expect(await of("drop: [ALL], add: [NET_BIND_SERVICE]")).toEqual(["CAP_NET_BIND_SERVICE"]);
    expect(await of("drop: [CAP_CHOWN]")).toHaveLength(13);
    expect(await of("add: [ALL]")).toHaveLength(41);
  });

  it("runs what its probes and hooks run, each once", async () => {
    const { exec } = await container([
      "livenessProbe: {exec: {command: [test, -e, $(A)]}}",
      "readinessProbe: {exec: {command: [test, -e, x]}}",
      "lifecycle: {preStop: {exec: {command: [stop, $(A)]}}, postStart: {httpGet: {port: 1}}}",
      "env: [{name: A, value: x}]",
    ]);
    expect(exec).toEqual([
      ["test", "-e", "x"],
      ["stop", "$(A)"],
    ]);
  });

  it("fills in resources rounded up", async () => {
    const { env, env_patterns } = await container([
      "resources: {limits: {cpu: 1500m, memory: 1Gi}}",
      "env:",
      "- {name: CPU, valueFrom: {resourceFieldRef: {resource: limits.cpu}}}",
      "- {name: MEM, valueFrom: {resourceFieldRef: {resource: requests.memory, divisor: 1Mi}}}",
      "- {name: DISK, valueFrom: {resourceFieldRef: {resource: limits.ephemeral-storage}}}",
    ]);
    expect(env).toEqual(expect.arrayContaining(["CPU=2", "MEM=1024"]));
    expect(env_patterns).toContainEqual({ pattern: "DISK=[0-9]{1,20}" });
  });
});

describe("values of one name", () => {
  const lines = ["env: [{name: A, valueFrom: {configMapKeyRef: {name: c, key: k}}}]"];
  const configMap = (value: string, namespace?: string): string =>
    `kind: ConfigMap\nmetadata: {name: c${namespace === undefined ? "" : `, namespace: ${namespace}`}}\ndata: {k: ${value}}`;
  const inShop = (...documents: readonly string[]): Promise<Pod> =>
    pod([one(...lines).replace("{name: web}", "{name: web, namespace: shop}"), ...documents].join("\n---\n"));
  const last = (made: Pod): unknown => podPolicy(made).containers["web"]?.env.at(-1);

  it.each([
    ["with their namespace", [configMap("one", "shop"), configMap("two", "shop")]],
    ["without", [configMap("one"), configMap("two")]],
    ["with the pod's namespace and with none, which is the pod's", [configMap("one", "shop"), configMap("two")]],
    ["in a namespace that is not the pod's", [configMap("x", "shop"), configMap("one", "a"), configMap("two", "a")]],
  ])("are refused: twice %s", async (_, documents) => {
    await expect(inShop(...documents)).rejects.toMatchObject({
      code: "manifest",
      message: expect.stringMatching(
        /^pod\.yaml:(?:13|17): two ConfigMaps c of namespace (?:shop|a), the other at pod\.yaml:(?:9|13)$/u,
      ) as string,
    });
  });

  it("are those of the pod's namespace", async () => {
    expect(last(await inShop(configMap("theirs", "other"), configMap("ours", "shop")))).toBe("A=ours");
    expect(last(await inShop(configMap("theirs", "other"), configMap("ours")))).toBe("A=ours");
    await expect(inShop(configMap("theirs", "other"))).rejects.toMatchObject({
      code: "reference",
      message:
        "pod.yaml:7: spec.containers[0].env[0].valueFrom.configMapKeyRef: no ConfigMap c in the files for the " +
        "pod's namespace: give its manifest, too",
    });
  });

  it("may be a ConfigMap's and a Secret's", async () => {
    const secret = "kind: Secret\nmetadata: {name: c}\nstringData: {k: two}";
    expect(last(await inShop(secret, configMap("one")))).toBe("A=one");
  });

  it("that a volume names are those of the pod's namespace", async () => {
    const text = one("volumeMounts: [{name: v, mountPath: /v}]") + "\n  volumes: [{name: v, configMap: {name: c}}]";
    const made = await pod([text, configMap("theirs", "other"), configMap("ours", "default")].join("\n---\n"));
    const contents = made.containers[0]?.mounts.find(({ destination }) => destination === "/v")?.contents;
    expect(contents).toEqual(new Map([["k", Buffer.from("ours")]]));
  });
});

describe("a list of objects", () => {
  const podItem =
    "metadata: {name: web}, spec: {containers: [{name: web, image: web:1, envFrom: [{configMapRef: {name: c}}]}]}";
  const values = "metadata: {name: c}, data: {A: one}";
  const envOf = (made: Pod): unknown => podPolicy(made).containers["web"]?.env.at(-1);

  it.each([
    ["of any kinds", `kind: List\nitems: [{kind: Pod, ${podItem}}, {kind: ConfigMap, ${values}}]`],
    ["of one kind each", `kind: PodList\nitems: [{${podItem}}]\n---\nkind: ConfigMapList\nitems: [{${values}}]`],
    [
      "of one kind, which its items name",
      `kind: PodList\nitems: [{kind: Pod, ${podItem}}]\n---\n{kind: ConfigMap, ${values}}`,
    ],
    ["that is empty", `kind: List\nitems: []\n---\n{kind: Pod, ${podItem}}\n---\n{kind: ConfigMap, ${values}}`],
  ])("%s is its items", async (_, text) => {
    expect(envOf(await pod(text))).toBe("A=one");
  });

  it.each([
    ["without items", "kind: List", /^pod\.yaml:1: items: expected a list, got nothing$/u],
    ["whose items are none", "kind: List\nitems: {kind: Pod}", /^pod\.yaml:2: items: expected a list, got \{/u],
    ["of null", "kind: List\nitems:", /^pod\.yaml:2: items: expected a list, got nothing$/u],
    ["of one kind without items", "kind: ConfigMapList", /^pod\.yaml:1: items: expected a list/u],
    ["in a list", "kind: List\nitems:\n- {kind: PodList, items: []}", /^pod\.yaml:3: items\[0\]: a list in a list$/u],
    [
      "in a list without items",
      "kind: List\nitems:\n- {kind: SecretList}",
      /^pod\.yaml:3: items\[0\]: a list in a list$/u,
    ],
    ["of another kind than a list's", "kind: Pod\nitems: []", /^pod\.yaml:2: items: Pod is no kind of a list$/u],
    ["of texts", "kind: List\nitems:\n- Pod", /^pod\.yaml:3: items\[0\]: expected an object/u],
  ])("%s is an error with its line", async (_, text, message) => {
    await expect(pod(`${text}\n---\n${one()}`)).rejects.toMatchObject({
      code: "manifest",
      message: expect.stringMatching(message) as string,
    });
  });

  it("is no object whose kind only sounds like it", async () => {
    expect((await pod(`kind: AllowList\nspec: {}\n---\n${one()}`)).workload.kind).toBe("Pod");
  });
});

describe("a Secret", () => {
  const secret = (value: string): string => `---\nkind: Secret\nmetadata: {name: s}\nstringData: {k: "${value}"}\n`;
  const lines = ["env: [{name: KEY, valueFrom: {secretKeyRef: {name: s, key: k}}}]"];
  const envOf = (made: Pod): unknown => podPolicy(made).containers["web"]?.env.at(-1);
  const patternOf = (made: Pod): unknown => podPolicy(made).containers["web"]?.env_patterns.at(-1);

  it("that is open stands in the policy, and the owner is told", async () => {
    const made = await pod(`${one(...lines)}\n${secret("open")}`);
    expect(envOf(made)).toBe("KEY=open");
    expect(made.notes.join()).toContain("contains a value of Secret s (pod.yaml:7");
  });

  it("that is sealed stands there as it is", async () => {
    const made = await pod(`${one(...lines)}\n${secret("sealed.a.b.c")}`);
    expect(envOf(made)).toBe("KEY=sealed.a.b.c");
    expect(made.notes).toEqual([]);
  });

  it.each([
    ["data", "YQ==", "a"],
    ["data", "YWI=", "ab"],
    ["data", "YWJj", "abc"],
    // As tools break lines; Go's decoder takes them and no other space.
    ["data", String.raw`YWJj\r\nZGVm\n`, "abcdef"],
    ["data", "", ""],
  ])("has its %s %j decoded", async (field, value, text) => {
    const made = await pod(`${one(...lines)}\n---\nkind: Secret\nmetadata: {name: s}\n${field}: {k: "${value}"}`);
    expect(envOf(made)).toBe(`KEY=${text}`);
  });

  it.each([
    ["Secret", "data", "YWJ"],
    ["Secret", "data", "YWJj="],
    ["Secret", "data", "YQ==YQ=="],
    ["Secret", "data", "YQ= ="],
    ["Secret", "data", "_-__"],
    ["Secret", "data", "YWJj!"],
    ["Secret", "data", "open text"],
    ["ConfigMap", "binaryData", "YW"],
  ])("or ConfigMap of broken base64 is an error with its line: %s %s %j", async (kind, field, value) => {
    const text = `${one()}\n---\nkind: ${kind}\nmetadata: {name: s}\n${field}:\n  k: "${value}"`;
    await expect(pod(text)).rejects.toMatchObject({
      code: "manifest",
      message: `pod.yaml:11: ${field}.k: expected base64`,
    });
  });

  it("that is not in the files may be any sealed text and no other", async () => {
    const made = await pod(one(...lines));
    const { pattern } = patternOf(made) as { readonly pattern: string };
    expect("KEY=sealed.e30.eyJ2In0.sig_-").toMatch(new RegExp(`^(?:${pattern})$`, "u"));
    for (const text of ["KEY=open", "KEY=sealed.a.b", "KEY=sealed.a.b.c d"]) {
      expect(text).not.toMatch(new RegExp(`^(?:${pattern})$`, "u"));
    }
    expect(made.notes.join()).toContain("Secret s is not in the files");
  });
});

describe("names of pods", () => {
  const job = (kind: string, spec: string): string => `kind: ${kind}\nmetadata: {name: w}\nspec: ${spec}\n`;
  const template = "{template: {spec: {containers: [{name: a, image: b}]}}}";
  it.each([
    ["Deployment", template, "w-6b7f9c8d54-x7k2p"],
    ["ReplicaSet", template, "w-x7k2p"],
    ["DaemonSet", template, "w-x7k2p"],
    ["StatefulSet", template, "w-12"],
    ["Job", template, "w-x7k2p"],
    ["CronJob", `{jobTemplate: {spec: ${template}}}`, "w-29512345-x7k2p"],
  ])("of a %s", async (kind, spec, example) => {
    const { podName } = (await pod(job(kind, spec))).workload;
    if (typeof podName === "string") throw new Error("expected a pattern");
    expect(example).toMatch(new RegExp(`^(?:${podName.pattern})$`, "u"));
    expect("w").not.toMatch(new RegExp(`^(?:${podName.pattern})$`, "u"));
  });

  it("one of several is chosen by name", async () => {
    const two = `${job("Job", template)}---\n${job("DaemonSet", template)}`;
    await expect(pod(two)).rejects.toThrow("Job/w, DaemonSet/w: say which");
    expect((await pod(two, {}, "DaemonSet/w")).workload.kind).toBe("DaemonSet");
    await expect(pod(two, {}, "Job/v")).rejects.toThrow("no Job/v in the files; there are Job/w, DaemonSet/w");
  });
});

describe("what cannot be", () => {
  const host = (line: string): string =>
    `kind: Pod\nmetadata: {name: a}\nspec:\n  ${line}\n  containers: [{name: a, image: b}]`;
  it.each([
    ["text that is no YAML", "a: [", "manifest", /^pod\.yaml:1: /u],
    ["a key twice", "kind: Pod\nkind: Pod", "manifest", /^pod\.yaml:2: Map keys must be unique/u],
    ["an endless alias", `a: &a [1]\n${bomb()}`, "manifest", /^pod\.yaml: .*alias/u],
    [
      "an alias within itself",
      "kind: ConfigMap\nmetadata:\n  name: &a\n  - x\n  - *a",
      "manifest",
      /^pod\.yaml:5: an alias of what it stands in$/u,
    ],
    ["a whole within itself", "&a\nkind: *a", "manifest", /^pod\.yaml:2: an alias of what it stands in$/u],
    ["no kind", "---\n---\na: 1", "manifest", /^pod\.yaml:3: no kind/u],
    ["no pod", "kind: Service\nmetadata: {name: x}", "manifest", /nothing that makes pods, only Service/u],
    [
      "a field of another kind",
      one("command: sh"),
      "manifest",
      /^pod\.yaml:7: spec\.containers\[0\]\.command: expected a list/u,
    ],
    [
      "a field that nobody knows",
      one("ports: []", "magic: 1"),
      "unsupported",
      /^pod\.yaml:8: spec\.containers\[0\]\.magic: not known/u,
    ],
    [
      "a number as text",
      one("env: [{name: A, value: 1}]"),
      "manifest",
      /^pod\.yaml:7: .*env\[0\]\.value: expected text/u,
    ],
    [
      "a ConfigMap that is not there",
      one("envFrom: [{configMapRef: {name: c}}]"),
      "reference",
      /^pod\.yaml:7: .*no ConfigMap c in the files/u,
    ],
    [
      "a privileged container",
      one("securityContext: {privileged: true}"),
      "unsupported",
      /^pod\.yaml:7: .*privileged/u,
    ],
    [
      "a device",
      one("resources: {limits: {nvidia.com/gpu: 1}}"),
      "unsupported",
      /^pod\.yaml:7: .*nvidia\.com\/gpu is a device/u,
    ],
    [
      "a block volume",
      one("volumeDevices: [{name: x, devicePath: /dev/x}]"),
      "unsupported",
      /^pod\.yaml:7: .*volumeDevices/u,
    ],
    ["no such volume", one("volumeMounts: [{name: x, mountPath: /x}]"), "manifest", /^pod\.yaml:7: .*no volume x/u],
    ["a mount over the root", one("volumeMounts: [{name: x, mountPath: /}]"), "manifest", /no volume x/u],
    ["root that must not be", one("securityContext: {runAsUser: 0, runAsNonRoot: true}"), "manifest", /runAsNonRoot/u],
    [
      "no such capability",
      one("securityContext: {capabilities: {add: [FLY]}}"),
      "manifest",
      /^pod\.yaml:7: .*no capability FLY/u,
    ],
    ["no such signal", one("lifecycle: {stopSignal: SIGNOPE}"), "manifest", /no signal SIGNOPE/u],
    ["a hostname that is none", host("hostname: a.b"), "manifest", /^pod\.yaml:4: spec\.hostname: not a name/u],
    [
      "a name that is none",
      "kind: Pod\nmetadata:\n  name: a|b\nspec: {}",
      "manifest",
      /^pod\.yaml:3: metadata\.name: not a name/u,
    ],
    [
      "a namespace that is none",
      "kind: Pod\nmetadata: {name: a, namespace: .*}\nspec: {containers: [{name: a, image: b}]}",
      "manifest",
      /not a namespace/u,
    ],
    ["the host's network", host("hostNetwork: true"), "unsupported", /^pod\.yaml:4: spec\.hostNetwork: true/u],
    [
      "the host's folder of devices",
      host("volumes: [{name: d, hostPath: {path: /dev}}]"),
      "unsupported",
      /^pod\.yaml:4: /u,
    ],
    [
      "a pod without containers",
      "kind: Pod\nmetadata: {name: a}\nspec: {containers: []}",
      "manifest",
      /no containers/u,
    ],
    [
      "an indexed job",
      "kind: Job\nmetadata: {name: a}\nspec:\n  completionMode: Indexed\n  template: {spec: {containers: [{name: a, image: b}]}}",
      "unsupported",
      /^pod\.yaml:4: spec\.completionMode/u,
    ],
  ])("%s is an error with its line", async (_, text, code, message) => {
    const error: unknown = await pod(text).then(
      () => undefined,
      (cause: unknown) => cause,
    );
    expect(error).toBeInstanceOf(GenPolicyError);
    expect(error).toMatchObject({ code, message: expect.stringMatching(message) as string });
  });

  it.each([
    ["a user that the image does not have", { user: "nobody" }, /user "nobody" is not in the image's \/etc\/passwd/u],
    ["a group that it does not have", { user: "app:nobody" }, /group "nobody"/u],
    ["an image without a command", { entrypoint: [], cmd: [] }, /^pod\.yaml:5: .*names a command/u],
  ])("%s", async (_, facts, message) => {
    await expect(pod(one(), facts)).rejects.toMatchObject({
      code: "image",
      message: expect.stringMatching(message) as string,
    });
  });

  function bomb(): string {
    const letters = ["b", "c", "d", "e", "f", "g"];
    return letters
      .map((letter, i) => `${letter}: &${letter} [${`*${i === 0 ? "a" : letters[i - 1]},`.repeat(20)}]`)
      .join("\n");
  }
});
