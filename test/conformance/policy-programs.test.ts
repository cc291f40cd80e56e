import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { applyPatch, type Json, policyInput, REQUEST_RULES, ruleName } from "@nacre/agent-policy";
import { AgentService, fromJson, type MethodDescriptor, parseLossless, stringifyLossless } from "@nacre/protocols";
import { compileRegorus, RegoEngine, RegoError, RegoMachine } from "regorus-wasm";
import { describe, expect, it } from "vitest";
import { randomMessage, seeded } from "../../packages/agent-policy/test/random-message.ts";
import { benchedPolicy } from "../bench/policy-pod.ts";
import { PODS, PolicedPod, podManifest } from "../fixtures/generated-pod.ts";
import { jsonLines, vectors } from "../setup/data.ts";

const ROOT = join(import.meta.dirname, "../..");
const module = await compileRegorus(readFileSync(join(ROOT, "packages/regorus-wasm/regorus.wasm")));
const options = { monotonicMs: (): number => performance.now(), limitMs: 60_000, deadlineMs: 60_000 };
const methods: Readonly<Record<string, MethodDescriptor<object, object>>> = AgentService.methods;

/** A pod of four containers with many variables. */
const LARGE = await benchedPolicy();

/** A rule and the input that it is asked with. */
interface Question {
  readonly rule: string;
  readonly input: Json;
}

/** What a rule does with a request when it is written as those that are generated: loops, sets, patterns, state. */
const DENSE = `package agent_policy
policy_data := {
  "args": [["/bin/sh", "-c", "sleep 1"], ["/pause"]],
  "env": ["PATH=(/[a-z]+)+(:(/[a-z]+)+)*", "[A-Z_0-9]+=.*"],
  "mounts": {"/proc": "proc", "/dev": "tmpfs", "/sys": "sysfs"},
  "paths": "^/run/kata-containers/shared/containers/.*$",
}
matches(pattern, text) if regex.match(concat("", ["^(?:", pattern, ")$"]), text)
one_of(patterns, text) if { some pattern in patterns; matches(pattern, text) }
kind(mount) := "known" if mount.type_ == policy_data.mounts[mount.destination] else := "bind" if mount.type_ == "bind" else := "other"
names := {name | some text in input.OCI.Process.Env; name := split(text, "=")[0]}
default CreateContainerRequest := false
CreateContainerRequest := {"allowed": true, "ops": ops} if {
  print("container", input.container_id)
  not data.pstate[input.container_id]
  count(names) == count(input.OCI.Process.Env)
  every text in input.OCI.Process.Env { one_of(policy_data.env, text) }
  every mount in input.OCI.Mounts { kind(mount) != "other"; count(mount.options) < 20 }
  some i, args in policy_data.args
  args[0] == input.OCI.Process.Args[0]
  ops := [{"op": "add", "path": concat("/", ["/pstate", input.container_id]), "value": i}]
}
CreateContainerRequest if { input.OCI.Root.Readonly; input.OCI.Process.User.UID > 4294967295 }
default CopyFileRequest := false
CopyFileRequest if { regex.match(policy_data.paths, input.path); not contains(input.path, ".."); input.file_type != "Symlink" }
CopyFileRequest if { input.file_type == "Symlink"; not startswith(input.symlink_target, "/"); bits.and(input.file_mode, 511) == 511 }
default ExecProcessRequest := false
ExecProcessRequest if { i := data.pstate[input.container_id]; policy_data.args[i][0] == input.process.Args[0] }
default UpdateInterfaceRequest := false
UpdateInterfaceRequest if {
  every address in input.interface.IPAddresses { address.address != "127.0.0.1"; to_number(address.mask) >= 8 }
  count({a.family | some a in input.interface.IPAddresses}) <= 2
  input.interface.name != "lo"
}
default UpdateRoutesRequest := false
UpdateRoutesRequest if { routes := [r | some r in input.routes.Routes; r.device != "lo"]; count(routes) == count(input.routes.Routes) }
default CreateSandboxRequest := false
CreateSandboxRequest if { every storage in input.storages { storage.driver in {"ephemeral", "local"} }; input.guest_hook_path == "" }
RemoveContainerRequest := {"allowed": true, "ops": [{"op": "remove", "path": concat("/", ["/pstate", input.container_id])}]} if data.pstate[input.container_id] >= 0
default StartContainerRequest := false
StartContainerRequest if is_number(data.pstate[input.container_id])
SignalProcessRequest if input.signal in [9, 15]
default SetPolicyRequest := false
SetPolicyRequest if { lines := split(input.policy, "\\n"); count(lines) > 3; not lines[0] == "package other" }
default WriteStreamRequest := false
WriteStreamRequest if { count(input.data) < 100; every b in input.data { b < 128 } }
ReadStreamRequest if { x := input.len; x > 0; y := x * 2; y / 2 == x }
AddARPNeighborsRequest if { n := input.neighbors.ARPNeighbors; count(n) > 0; not n[0].lladdr == "" }
MemAgentMemcgConfig if { is_null(input.disabled); input.period_secs < 18446744073709551615 }
`;

interface Recorded {
  readonly method?: string;
  readonly body?: object;
  readonly request?: Readonly<Record<string, unknown>>;
}

/** The requests that runtimes and pods were recorded with, and random ones of every method. */
function questions(): Question[] {
  const recorded = ["golden/agent.jsonl", "traces/basic.jsonl", "traces/policy.jsonl", "traces/tty.jsonl"]
    .map((name) => vectors(name))
    .filter((path) => path !== undefined)
    .flatMap((path) => jsonLines<Recorded>(path))
    .flatMap(({ method: name = "", body, request = body }) => questionOf(methods[name], request));
  const folder = vectors("requests");
  const pods = (folder === undefined ? [] : readdirSync(folder)).flatMap((name) =>
    [...readFileSync(join(folder ?? "", name), "utf8").matchAll(/^\["ep":"(\w+)",(.*)\],?$/gmu)].map(
      ([, rule = "", input = ""]) => ({ rule, input: parseLossless(input) as Json }),
    ),
  );
  const random = seeded(0xe9a1);
  const made = Array.from({ length: 10 }, () =>
    Object.values(methods).map((method) => ({
      rule: ruleName(method),
      input: randomMessage(method.requestType, random).input as Json,
    })),
  ).flat();
  return [...podQuestions(), ...recorded, ...pods, ...made];
}

/** Requests under which the large pod starts, with one of its containers. */
function podQuestions(): Question[] {
  const all = [...LARGE.before, LARGE.create, LARGE.start];
  return all.map(({ rule, input }) => ({ rule, input: parseLossless(input) as Json }));
}

function questionOf(method: MethodDescriptor<object, object> | undefined, request?: object): Question[] {
  if (method === undefined || request === undefined) return [];
  try {
    const input = policyInput(method, fromJson(method.requestType, request));
    return [{ rule: ruleName(method), input: parseLossless(input) as Json }];
  } catch {
    // A recording has what is no request as well.
    return [];
  }
}

/** The input with one value somewhere in it that is another: most such requests are refused at another condition. */
function altered(input: Json, random: (n: number) => number): Json {
  if (typeof input !== "object" || input === null || random(6) === 0) {
    return ([null, 0, -1, "", "x", "/", [], {}, true, 18446744073709551615n, input] as const)[random(11)] as Json;
  }
  const keys = Object.keys(input);
  const key = keys[random(keys.length)];
  if (key === undefined) return input;
  const copy = (Array.isArray(input) ? [...input] : { ...input }) as Record<string, Json>;
  copy[key] = altered(copy[key] as Json, random);
  return copy;
}

const POLICIES: ReadonlyArray<readonly [string, string]> = [
  ["dense", DENSE],
  ["large", LARGE.policy],
  ...readdirSync(join(ROOT, "guest-rootfs/policies")).map(
    (name) => [name, readFileSync(join(ROOT, "guest-rootfs/policies", name), "utf8")] as const,
  ),
  ["the demo's", readFileSync(join(ROOT, "test/demo/policy.rego"), "utf8")],
  ...goldenPolicies(),
];

/** Policies that are generated, each with what its own pod asks beside all the rest. */
const GENERATED: ReadonlyMap<string, PolicedPod> = new Map(
  await Promise.all(
    PODS.map(async (name) => [`generated for ${name}`, await PolicedPod.of(podManifest(name))] as const),
  ),
);

function goldenPolicies(): Array<readonly [string, string]> {
  const path = vectors("golden/policies.json");
  return path === undefined ? [] : Object.entries(JSON.parse(readFileSync(path, "utf8")) as Record<string, string>);
}

/** A policy both ways, with one state. */
class Both {
  readonly #interpreter: RegoEngine;
  readonly #machine: RegoMachine;
  readonly #compiled = new Set<string>();
  #state: Json = { pstate: {} };

  constructor(interpreter: RegoEngine, machine: RegoMachine) {
    this.#interpreter = interpreter;
    this.#machine = machine;
  }

  static async of(text: string): Promise<Both> {
    const both = new Both(await RegoEngine.create(module, options), await RegoMachine.create(module, options));
    await both.#interpreter.addPolicy("agent_policy", text);
    await both.#keep();
    for (const rule of REQUEST_RULES) await both.#compile(rule);
    return both;
  }

  async #compile(rule: string): Promise<void> {
    try {
      const program = await this.#interpreter.compile([`data.agent_policy.${rule}`]);
      if (program !== undefined) await this.#machine.addProgram(program);
      this.#compiled.add(rule);
    } catch (error) {
      // It has no program, and is left to the interpreter.
      if (!(error instanceof RegoError)) throw error;
    }
  }

  async #keep(): Promise<void> {
    for (const engine of [this.#interpreter, this.#machine]) await engine.setData(stringifyLossless(this.#state));
  }

  /** What both say, or undefined where only the interpreter is asked: no program, or one that has no answer. */
  async ask({ rule, input }: Question): Promise<{ interpreter: string; machine: string } | undefined> {
    if (!this.#compiled.has(rule)) return undefined;
    const query = `data.agent_policy.${rule}`;
    const json = stringifyLossless(input);
    const told = async (work: Promise<string | undefined>): Promise<string> => {
      try {
        return (await work) ?? "undefined";
      } catch (error) {
        if (error instanceof RegoError && error.code === "rego") return "error";
        throw error;
      }
    };
    const machine = await told(this.#machine.run(query, json));
    if (machine === "error") return undefined;
    const interpreter = await told(this.#interpreter.evaluate(query, json).then(({ value }) => value));
    await this.#apply(interpreter);
    return { interpreter, machine };
  }

  async #apply(value: string): Promise<void> {
    if (!value.startsWith("{")) return;
    const { allowed, ops } = parseLossless(value) as { allowed?: Json; ops?: Json[] };
    if (allowed !== true || ops === undefined) return;
    try {
      this.#state = applyPatch(this.#state, ops);
    } catch {
      return;
    }
    await this.#keep();
  }
}

describe("a policy's programs and the interpreter say the same, verdict and state operations", () => {
  const asked = questions();

  it.each([...POLICIES, ...[...GENERATED].map(([name, { policy }]) => [name, policy] as const)])(
    "%s",
    async (name, text) => {
      const own = (GENERATED.get(name)?.lifetime() ?? []).map(({ rule, input }) => ({
        rule,
        input: parseLossless(input) as Json,
      }));
      const both = await Both.of(text);
      const random = seeded(0x0dd);
      const differences: object[] = [];
      let compared = 0;
      const yes = new Set<string>();
      for (const question of [...own, ...asked]) {
        const others = Array.from({ length: 3 }, () => ({ ...question, input: altered(question.input, random) }));
        // Those that change the state come last, and the altered ones find it as the true one does.
        const variants = [...others, question];
        for (const variant of variants) {
          const said = await both.ask(variant);
          if (said === undefined) continue;
          compared += 1;
          if (said.interpreter.includes("true")) yes.add(variant.rule);
          if (said.interpreter !== said.machine)
            differences.push({ ...said, rule: variant.rule, input: variant.input });
        }
      }
      expect(differences).toEqual([]);
      // Prints that iterate make a rule one for the interpreter alone.
      expect(compared).toBeGreaterThan(name === "dense" ? asked.length : 0);
      if (name === "large")
        expect([...yes]).toEqual(expect.arrayContaining(["CreateSandboxRequest", "CreateContainerRequest"]));
      expect([...yes]).toEqual(expect.arrayContaining([...new Set(own.map(({ rule }) => rule))]));
    },
    120_000,
  );
});
