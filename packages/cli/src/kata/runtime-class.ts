import { type Handler, handlerName } from "./handler.ts";

/** What a pod costs beside its containers, in MiB and thousandths of a processor, and where the figure is from. */
export interface Overhead {
  readonly memory: number;
  readonly cpu: number;
  readonly source: string;
}

/**
 * QEMU's own memory on the host, as Kata's Helm chart 4.1 counts it, and its share of a processor. The machines of our
 * configurations are not measured here: that takes KVM.
 */
const QEMU: Overhead = { memory: 320, cpu: 250, source: "Kata's Helm chart 4.1 for qemu" };

/** `base`: MiB that the guest has beside what its containers ask for (default_memory). */
export function overheadOf(handler: Handler, base: number): Overhead {
  if (handler === "remote") return REMOTE;
  return {
    memory: base + QEMU.memory,
    cpu: QEMU.cpu,
    source: `default_memory ${base} MiB, which is the guest's beside its containers, and ${QEMU.memory} MiB of ${QEMU.source}`,
  };
}

/**
 * Measured on 2026-11-25 (HYPERVISOR.md, "What a pod costs"): the guest's daemons with a pod that only pauses, whose
 * program files nobody had read before, 171 MiB; its supervisor, 62; Kata's shim, 33; rounded up. The processor is as
 * Kata's Helm chart 4.1 has it.
 */
const REMOTE: Overhead = {
  memory: 272,
  cpu: 250,
  source: "measured: 171 MiB the guest without containers, 62 its supervisor, 33 Kata's shim",
};

/** The object for `kubectl apply`. */
export function runtimeClassText(handler: Handler, overhead: Overhead): string {
  const name = handlerName(handler);
  return `apiVersion: node.k8s.io/v1
kind: RuntimeClass
metadata:
  name: ${name}
handler: ${name}
overhead:
  podFixed:
    # ${overhead.source}
    memory: ${overhead.memory}Mi
    cpu: ${overhead.cpu}m
`;
}
