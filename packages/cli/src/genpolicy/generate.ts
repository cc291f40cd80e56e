import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

import { about, type PolicyEngine, policyInput, PULLED_IMAGE_RULE, ruleName } from "@nacre/agent-policy";
import {
  GenPolicyError,
  type ImageSource,
  type ManifestFile,
  type Pod,
  podHost,
  podLifetime,
  podPolicy,
  type PodQuestion,
  type PolicyOptions,
  policyText,
  readDocuments,
  readPod,
} from "@nacre/genpolicy";
import { AgentService, type MethodDescriptor } from "@nacre/protocols";

import { NacreError } from "../error.ts";
import { loadPolicy } from "../policy.ts";

const METHODS: Readonly<Record<string, MethodDescriptor<object, object>>> = AgentService.methods;

export interface GenerateOptions extends PolicyOptions {
  readonly files: readonly ManifestFile[];
  readonly images: ImageSource;
  readonly namespace: string;
  /** `NAME` or `KIND/NAME`, where the files hold several things that make pods. */
  readonly workload?: string | undefined;
}

/** A policy that was made and checked. */
export interface GeneratedPolicy {
  readonly pod: Pod;
  readonly policy: string;
  /** SHA-256 of the text. */
  readonly digest: string;
  /** How many requests of this pod it was put to. */
  readonly requests: number;
}

/**
 * The policy of the pod in the files; it has said yes to all that a host asks for in such a pod's life. Throws NacreError
 * `input` with file and line of what cannot be.
 */
export async function generatePolicy(options: GenerateOptions): Promise<GeneratedPolicy> {
  const pod = await podOf(options);
  const rules = readFileSync(fileURLToPath(import.meta.resolve("@nacre/genpolicy/pod.rego")), "utf8");
  const policy = policyText(rules, podPolicy(pod, options), pod);
  const engine = await loadPolicy(policy, "policy.rego");
  return { pod, policy, digest: engine.digest, requests: await check(pod, engine, options) };
}

async function podOf({ files, images, namespace, workload }: GenerateOptions): Promise<Pod> {
  try {
    return await readPod(readDocuments(files), { namespace, images, workload });
  } catch (cause) {
    if (!(cause instanceof GenPolicyError)) throw cause;
    throw new NacreError("input", cause.message);
  }
}

async function check(pod: Pod, engine: PolicyEngine, allowed: PolicyOptions): Promise<number> {
  const host = podHost(pod, { random: (length) => randomBytes(length).toString("hex").slice(0, length) });
  const questions = podLifetime(pod, host, allowed);
  for (const question of questions) {
    const { rule, input, request } = asked(question);
    const decision = await engine.check(rule, input, about(rule, request));
    if (!decision.allowed) {
      const step = decision.explanation?.steps.at(-1);
      throw new NacreError(
        "internal",
        `the policy refuses ${rule} of its own pod: ${step?.text ?? decision.prints.join(" ")}`,
      );
    }
    if (question.method === "RemoveContainer") await engine.forget(question.request.container_id ?? "");
  }
  return questions.length;
}

function asked({ method, request }: PodQuestion): { rule: string; input: string; request: object } {
  if (method === "PulledImage") return { rule: PULLED_IMAGE_RULE, input: JSON.stringify(request), request };
  const descriptor = METHODS[method];
  if (descriptor === undefined) throw new Error(`no method ${method}`);
  const whole = descriptor.decodeRequest(descriptor.encodeRequest(request));
  return { rule: ruleName(descriptor), input: policyInput(descriptor, whole), request: whole };
}
