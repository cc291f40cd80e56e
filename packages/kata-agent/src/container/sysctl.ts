import { internalError } from "../error.ts";

/** Kernel parameters that belong to the IPC namespace, beside those below fs.mqueue (spec 3.8). */
const IPC_SYSCTLS: ReadonlySet<string> = new Set([
  "kernel.msgmax",
  "kernel.msgmnb",
  "kernel.msgmni",
  "kernel.sem",
  "kernel.shmall",
  "kernel.shmmax",
  "kernel.shmmni",
  "kernel.shm_rmid_forced",
]);

/** Names of parameters are letters, digits, dots and slashes; no part may lead out of /proc/sys. */
const NAME = /^[A-Za-z0-9_-]+([./][A-Za-z0-9_-]+)*$/;

/**
 * Parts the parameters into those that the runtime sets in the container's namespaces and those of the network, which
 * the agent sets. Anything that would change the guest as a whole is refused with the real agent's text.
 */
export function splitSysctls(
  sysctls: Readonly<Record<string, string>>,
  namespaces: ReadonlySet<string>,
): { runtime: Record<string, string>; net: Map<string, string> } {
  const runtime: Record<string, string> = Object.create(null) as Record<string, string>;
  const net = new Map<string, string>();
  for (const [name, value] of Object.entries(sysctls)) {
    const allowed = NAME.test(name) && !value.includes("\0");
    if (allowed && name.startsWith("net.")) {
      if (namespaces.has("network")) runtime[name] = value;
      else net.set(name, value);
    } else if (allowed && inNamespace(name, namespaces)) {
      runtime[name] = value;
    } else {
      throw internalError("sysctl", new Error("Sysctl config contains invalid settings"));
    }
  }
  return { runtime, net };
}

function inNamespace(name: string, namespaces: ReadonlySet<string>): boolean {
  if (IPC_SYSCTLS.has(name) || name.startsWith("fs.mqueue.")) return namespaces.has("ipc");
  return name === "kernel.domainname" && namespaces.has("uts");
}

/** The file of a network parameter below `root`, which is /proc/sys outside tests. */
export function sysctlFile(root: string, name: string): string {
  return `${root}/${name.replaceAll(".", "/")}`;
}
