/**
 * A text of which the host fills in parts: a pod's address, say. What the policy allows and what a host sends are both
 * made from it.
 */
export type Template = ReadonlyArray<string | Variable>;

/** A part that is known only when the pod runs. */
export interface Variable {
  readonly variable: VariableName;
}

export type VariableName =
  | "podName"
  | "namespace"
  | "uid"
  | "hostname"
  | "nodeName"
  | "podAddress"
  | "podAddresses"
  | "hostAddress"
  | "hostAddresses"
  | "serviceAddress"
  | "servicePort"
  | "allocatable"
  | "sealedSecret"
  | "label";

/** As the policy writes a text: itself, or a regular expression (of Rust's syntax) for the whole of it. */
export type PolicyText = string | { readonly pattern: string };

/** What a host knows of a pod. */
export type HostFacts = Readonly<Record<VariableName, string>>;

const BYTE = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])";
/** An address of either family; that of a colon and hexadecimal digits need not be one that makes sense. */
export const ADDRESS: string = `(?:${BYTE}(?:\\.${BYTE}){3}|[0-9a-fA-F]{0,4}(?::[0-9a-fA-F]{0,4}){2,7})`;
export const PORT = "[1-9][0-9]{0,4}";

const PATTERNS: Readonly<Record<VariableName, string>> = {
  podName: "$(pod)",
  namespace: "$(namespace)",
  uid: "$(uid)",
  hostname: "$(hostname)",
  nodeName: "[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?",
  podAddress: ADDRESS,
  podAddresses: `${ADDRESS}(?:,${ADDRESS})?`,
  hostAddress: ADDRESS,
  hostAddresses: `${ADDRESS}(?:,${ADDRESS})?`,
  serviceAddress: ADDRESS,
  servicePort: PORT,
  /** Of a Secret that is not known here: what only a guest makes a secret of (guest-components' sealed secrets). */
  sealedSecret: "sealed\\.[A-Za-z0-9_=-]+\\.[A-Za-z0-9_=-]+\\.[A-Za-z0-9_=-]+",
  /** What a node has to give of something. */
  allocatable: "[0-9]{1,20}",
  /** A label that a controller gives its pods. */
  label: "[A-Za-z0-9._-]{0,63}",
};

export function variable(name: VariableName): Template {
  return [{ variable: name }];
}

/** Parts joined, neighbouring texts made one. */
export function join(...templates: readonly Template[]): Template {
  const parts: Array<string | Variable> = [];
  for (const part of templates.flat()) {
    const last = parts.at(-1);
    if (typeof part === "string" && typeof last === "string") parts[parts.length - 1] = last + part;
    else if (part !== "") parts.push(part);
  }
  return parts;
}

export function policyText(template: Template): PolicyText {
  if (template.every((part) => typeof part === "string")) return template.join("");
  return {
    pattern: template
      .map((part) => (typeof part === "string" ? escapePattern(part) : PATTERNS[part.variable]))
      .join(""),
  };
}

/** The text as this host sends it. */
export function hostText(template: Template, facts: HostFacts): string {
  return template.map((part) => (typeof part === "string" ? part : facts[part.variable])).join("");
}

/** A pattern for a text and nothing else. */
export function escapePattern(text: string): string {
  return text.replaceAll(/[\\^$.*+?()[\]{}|#&~-]/gu, "\\$&");
}
