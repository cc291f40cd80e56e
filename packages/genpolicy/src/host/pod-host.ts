import { hostText, type HostFacts, type Template } from "../template.ts";
import type { Pod } from "../pod.ts";

/** A host that runs the pod: what it knows, and the ids that it makes up. */
export interface PodHost {
  readonly facts: HostFacts;
  readonly sandboxId: string;
  /** `length` hexadecimal digits. */
  readonly random: (length: number) => string;
}

export interface PodHostOptions {
  readonly random: PodHost["random"];
  /** The pod's own address. */
  readonly address?: string;
  readonly facts?: Partial<HostFacts>;
}

/** A host for one pod of this kind. */
export function podHost(pod: Pod, { random, address = "10.244.0.2", facts }: PodHostOptions): PodHost {
  return {
    facts: {
      podName: pod.workload.exampleName,
      namespace: pod.namespace,
      uid: uuid(random(32)),
      hostname: pod.exampleHostname,
      nodeName: "node-1",
      podAddress: address,
      podAddresses: address,
      hostAddress: "192.0.2.1",
      hostAddresses: "192.0.2.1",
      serviceAddress: "10.96.0.1",
      servicePort: "443",
      allocatable: "1",
      sealedSecret: "sealed.e30.e30.c2ln",
      label: "x",
      ...facts,
    },
    sandboxId: random(64),
    random,
  };
}

export function texts(templates: readonly Template[], { facts }: PodHost): string[] {
  return templates.map((template) => hostText(template, facts));
}

function uuid(digits: string): string {
  return [8, 4, 4, 4, 12].map((length, i) => digits.slice([0, 8, 12, 16, 20][i]).slice(0, length)).join("-");
}
