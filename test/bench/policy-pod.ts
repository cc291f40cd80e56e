import { about, type CheckOptions, policyInput, ruleName } from "@nacre/agent-policy";
import { AgentService, type Init, type MethodDescriptor } from "@nacre/protocols";

import { imageFacts, PolicedPod } from "../fixtures/generated-pod.ts";

/** A rule and the input that it is asked with. */
export interface Question {
  readonly rule: string;
  readonly input: string;
  readonly whose: CheckOptions;
}

/** A generated policy, and what a host asks under it. */
export interface BenchedPolicy {
  readonly policy: string;
  /** What comes before containers, and the state that it leaves. */
  readonly before: readonly Question[];
  readonly state: string;
  readonly create: Question;
  readonly start: Question;
}

const CONTAINERS = 4;
const NAME = "service-3";
/** So many variables that a request has 10 KB, as containers in a namespace with some services have. */
const VARIABLES = 48;

const { CreateContainer, CreateSandbox, StartContainer } = AgentService.methods;

/** The policy of a pod of four containers, and a request for one of them. */
export async function benchedPolicy(): Promise<BenchedPolicy> {
  const policed = await PolicedPod.of(manifest(), {}, (reference) => imageFacts(reference));
  const pause = policed.requests("");
  const { create } = policed.requests(NAME);
  const { podName: name, namespace, uid, hostname } = policed.host.facts;
  const state = {
    sandbox: { id: pause.id, hostname },
    begun: [],
    pod: { name, namespace, uid },
    [pause.id]: { sandbox: true },
  };
  return {
    policy: policed.policy,
    before: [
      question(CreateSandbox, policed.sandbox),
      question(CreateContainer, pause.create),
      question(StartContainer, { container_id: pause.id }),
    ],
    state: JSON.stringify({ pstate: state }),
    create: question(CreateContainer, create),
    start: question(StartContainer, { container_id: pause.id }),
  };
}

function question<Req>(method: MethodDescriptor<Req, unknown>, init: Init<Req>): Question {
  const request = method.decodeRequest(method.encodeRequest(init)) as object;
  const rule = ruleName(method);
  return { rule, input: policyInput(method, request), whose: about(rule, request) };
}

function manifest(): string {
  const containers = Array.from({ length: CONTAINERS }, (_, i) => container(i)).join("");
  return `
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop, namespace: production}
spec:
  template:
    metadata: {labels: {app: shop}}
    spec:
      securityContext: {fsGroup: 1000}
      volumes:
        - {name: settings, configMap: {name: settings}}
        - {name: cache, emptyDir: {}}
        - {name: memory, emptyDir: {medium: Memory}}
      containers:${containers}`;
}

function container(i: number): string {
  const variables = Array.from(
    { length: VARIABLES },
    (_, k) =>
      `            - {name: SERVICE_${i}_SETTING_${k}, value: "value of setting ${k} of service ${i}: ${"x".repeat(k)}"}`,
  );
  return `
        - name: service-${i}
          image: registry.example/shop/service-${i}:1.${i}
          command: [/usr/bin/service, --listen, "0.0.0.0:80${i}0", --name, $(POD_NAME)]
          env:
            - {name: POD_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
            - {name: POD_IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
${variables.join("\n")}
          livenessProbe: {exec: {command: [/usr/bin/service, --check]}}
          securityContext: {runAsUser: 1000, runAsGroup: 1000, allowPrivilegeEscalation: false}
          volumeMounts:
            - {name: settings, mountPath: /etc/service}
            - {name: cache, mountPath: /var/cache/service}
            - {name: memory, mountPath: /run/service}`;
}
