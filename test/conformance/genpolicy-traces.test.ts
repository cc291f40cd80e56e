import { AgentService, fromJson, type grpc, type MethodDescriptor } from "@nacre/protocols";
import { about, PULLED_IMAGE_RULE, policyInput, ruleName } from "@nacre/agent-policy";
import { describe, expect, it } from "vitest";

import { imageFacts, PolicedPod } from "../fixtures/generated-pod.ts";
import type { TraceLine } from "../fixtures/trace-replay.ts";
import { jsonLines, vectors } from "../setup/data.ts";

/**
 * The pods of the recorded runs as manifests. They were asked for by a CRI client without Kubernetes, in the kubelet's
 * place: it gave no service account's token and mounted what the kubelet mounts.
 */
function manifest(name: string, containers: string): string {
  return `
kind: Pod
metadata: {name: ${name}}
spec:
  automountServiceAccountToken: false
  volumes:
    - {name: scratch, emptyDir: {}}
    - {name: cfg, configMap: {name: cfg}}
  containers:${containers}
---
kind: ConfigMap
metadata: {name: cfg}
data: {app.conf: "key=value"}
`;
}

function container(name: string, command: string, ...lines: readonly string[]): string {
  return `
    - name: ${name}
      image: registry.example/peers/busybox:1.35
      command: ${command}
      workingDir: /tmp
      env: [{name: KUBERNETES_SERVICE_HOST, value: 10.96.0.1}, {name: GREETING, value: héllo = wörld}]
      volumeMounts: [{name: scratch, mountPath: /scratch}, {name: cfg, mountPath: /etc/cfg, readOnly: true}]
      ${lines.join("\n      ")}`;
}

const MAIN = container("main", "[/bin/sleep, '1000']");
const SHORT = container(
  "short",
  "[/bin/echo, short, life]",
  "securityContext:",
  "  {runAsUser: 1000, runAsGroup: 2000, allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL], add: [NET_BIND_SERVICE]}}",
);
const SHELL = container("shell", "[/bin/sh]", "tty: true", "stdin: true");

const RUNS = {
  basic: manifest("peer-basic", MAIN + SHORT),
  policy: manifest("peer-policy", MAIN + SHORT),
  tty: manifest("peer-tty", SHELL),
} as const;
const COMMANDS = [["/bin/echo", "exec", "says", "hi"], ["/bin/false"], ["/bin/cat"], ["/bin/sh"]];

/** What no pod needs, and is refused: the kubelet asks for none of it as Kata is set up with static resources. */
const REFUSED = ["SetPolicyRequest", "UpdateContainerRequest", "PauseContainerRequest", "ResumeContainerRequest"];

/** The kubelet's own list, of which the client sent a part; further groups are the pod's, and here were one container's. */
const MASKED = ["asound", "acpi", "kcore", "keys", "latency_stats", "timer_list", "timer_stats", "sched_debug", "scsi"]
  .map((name) => `/proc/${name}`)
  .concat("/sys/firmware");

const METHODS: Readonly<Record<string, MethodDescriptor<object, object>>> = AgentService.methods;
const folder = vectors("traces");

/** Asks what was recorded, in order, with the agent's own question after each pull. Gives what is refused. */
async function refused(policed: PolicedPod, lines: readonly TraceLine[]): Promise<string[]> {
  const found: string[] = [];
  let questions = 0;
  const ask = async (rule: string, input: string, request: object): Promise<void> => {
    questions += 1;
    const { allowed, explanation } = await policed.engine.check(rule, input, about(rule, request));
    const step = explanation?.steps.at(-1);
    if (!allowed)
      found.push(REFUSED.includes(rule) ? rule : `${rule}: ${step?.text} ${JSON.stringify(step?.operands)}`);
  };
  for (const { method = "", service, body = {} } of lines) {
    const descriptor = METHODS[method];
    if (descriptor === undefined || service !== "grpc.AgentService") continue;
    const request = fromJson(descriptor.requestType, method === "CreateContainer" ? asKubelet(body) : body);
    await ask(ruleName(descriptor), policyInput(descriptor, request), request);
    if (method === "CreateContainer") {
      const { container_id, storages } = request as grpc.CreateContainerRequest;
      const image = storages[0]?.source;
      const pulled = { container_id, image, manifest_digest: `sha256:${"a".repeat(64)}` };
      if (image !== "pause") await ask(PULLED_IMAGE_RULE, JSON.stringify(pulled), pulled);
    }
    if (method === "RemoveContainer")
      await policed.engine.forget((request as grpc.RemoveContainerRequest).container_id);
  }
  expect(questions).toBeGreaterThan(30);
  return found;
}

function asKubelet(body: Readonly<Record<string, unknown>>): object {
  const whole = body as {
    OCI: { Process: { User: { GID?: number } }; Linux: object; Annotations: Record<string, string> };
  };
  if (whole.OCI.Annotations["io.kubernetes.cri.container-type"] === "sandbox") return body;
  const { Process, Linux } = whole.OCI;
  const User = { ...Process.User, AdditionalGids: [Process.User.GID ?? 0] };
  return { ...body, OCI: { ...whole.OCI, Process: { ...Process, User }, Linux: { ...Linux, MaskedPaths: MASKED } } };
}

/** The same from our own host, for a checkout without the recordings. */
async function own(policed: PolicedPod): Promise<string[]> {
  const found: string[] = [];
  for (const { rule, input } of policed.lifetime()) {
    const request = JSON.parse(input) as object;
    const { allowed } = await policed.engine.check(rule, input, about(rule, request));
    if (!allowed) found.push(rule);
    const { container_id = "" } = request as { readonly container_id?: string };
    if (rule === "RemoveContainerRequest") await policed.engine.forget(container_id);
  }
  return found;
}

describe("under its generated policy", () => {
  it.each(Object.entries(RUNS))(
    "all that the real runtime asked in the recorded run %s is allowed",
    async (run, text) => {
      const options = { logs: true, exec: COMMANDS, execStdin: true };
      const policed = await PolicedPod.of(text, options, (reference) => imageFacts(reference));
      if (folder === undefined) expect(await own(policed)).toEqual([]);
      else {
        const found = await refused(policed, jsonLines<TraceLine>(`${folder}/${run}.jsonl`));
        expect(found.filter((rule) => !REFUSED.includes(rule))).toEqual([]);
      }
    },
  );

  it("without what the owner may allow, the run is the same but for its commands and its output", async () => {
    if (folder === undefined) return;
    const policed = await PolicedPod.of(RUNS.basic, {}, (reference) => imageFacts(reference));
    const found = await refused(policed, jsonLines<TraceLine>(`${folder}/basic.jsonl`));
    const optional = ["CloseStdinRequest", "ExecProcessRequest", "ReadStreamRequest", "WriteStreamRequest"];
    const updates = ["PauseContainerRequest", "ResumeContainerRequest", "UpdateContainerRequest"];
    expect(new Set(found.map((rule) => rule.split(":")[0]))).toEqual(new Set([...optional, ...updates]));
  });
});
