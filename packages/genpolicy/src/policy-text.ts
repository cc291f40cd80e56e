import type { PolicyContainer, PolicyData } from "./policy-data.ts";
import type { Pod } from "./pod.ts";

/** The policy: the rules, and after them what the pod is made of, with a line on each part of it. */
export function policyText(rules: string, data: PolicyData, pod: Pod): string {
  const { kind, name } = pod.workload;
  const head = `# Policy of ${kind} ${printable(name)}, made by nacre policy generate.
#
# It holds for these images, and for no others of their names:
${pod.containers.map(imageLine).join("\n")}
`;
  return `${head}\n${rules.trim()}\n\n# ---- The pod\n\npolicy_data := {
  "pod": ${nested(data.pod)},
  # The container that holds the sandbox together; its process is the guest's own.
  "sandbox": ${nested(data.sandbox)},
  "containers": {
${Object.entries(data.containers)
  .map(([key, container]) => containerText(key, container))
  .join(",\n")}
  }
}\n`;
}

function imageLine({ name, reference, image }: Pod["containers"][number]): string {
  return `#   ${name}: ${printable(reference)} = ${image.manifestDigests.map(printable).join(", ")}`;
}

function containerText(key: string, container: PolicyContainer): string {
  const text = JSON.stringify(container, undefined, 2).replaceAll("\n", "\n    ");
  return `    # ${commandOf(container)}\n    ${JSON.stringify(key)}: ${text}`;
}

function commandOf({ args }: PolicyContainer): string {
  return printable(args.map((text) => (typeof text === "string" ? text : "…")).join(" ")).slice(0, 100);
}

function nested(value: object): string {
  return JSON.stringify(value, undefined, 2).replaceAll("\n", "\n  ");
}

/** A comment ends with its line. */
function printable(text: string): string {
  return text.replaceAll(/[^\x20-\x7e]/gu, "?");
}
