import type { PolicyContainer, PolicyData } from "./policy-data.ts";
import type { Pod } from "./pod.ts";

/** Of a line of data, about; texts are not broken. */
const WIDTH = 116;

/** The policy: the rules, and after them what the pod is made of, with a line on each part of it. */
export function policyText(rules: string, data: PolicyData, pod: Pod): string {
  const { kind, name } = pod.workload;
  const head = `# Policy of ${kind} ${printable(name)}, made by nacre policy generate.
#
# It holds for these images, and for no others of their names:
${pod.containers.map(imageLine).join("\n")}
`;
  return `${head}\n${rules.trim()}\n\n# ---- The pod\n\npolicy_data := {
  "pod": ${json(data.pod, 2)},
  # The container that holds the sandbox together; its process is the guest's own.
  "sandbox": ${json(data.sandbox, 2)},
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
  return `    # ${commandOf(container)}\n    ${JSON.stringify(key)}: ${json(container, 4)}`;
}

function commandOf({ args }: PolicyContainer): string {
  return printable(args.map((text) => (typeof text === "string" ? text : "…")).join(" ")).slice(0, 100);
}

/** JSON in which what fits stands on one line. `indent` is how far in the line is on which it begins. */
function json(value: unknown, indent: number): string {
  const line = oneLine(value);
  if (typeof value !== "object" || value === null || line.length + indent <= WIDTH) return line;
  const inner = " ".repeat(indent + 2);
  const parts = Array.isArray(value)
    ? value.map((item) => json(item, indent + 2))
    : Object.entries(value).map(([key, item]) => `${JSON.stringify(key)}: ${json(item, indent + 2)}`);
  const [open, close] = Array.isArray(value) ? "[]" : "{}";
  return `${open}\n${inner}${parts.join(`,\n${inner}`)}\n${" ".repeat(indent)}${close}`;
}

function oneLine(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(oneLine).join(", ")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  return `{${Object.entries(value)
    .map(([key, item]) => `${JSON.stringify(key)}: ${oneLine(item)}`)
    .join(", ")}}`;
}

/** A comment ends with its line. */
function printable(text: string): string {
  return text.replaceAll(/[^\x20-\x7e]/gu, "?");
}
