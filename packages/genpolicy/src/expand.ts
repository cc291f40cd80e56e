import { join, type Template, variable } from "./template.ts";

/** What `$(NAME)` may refer to. */
export type Environment = ReadonlyMap<string, Template>;

/**
 * References in a text as the kubelet replaces them: `$(NAME)` by what is defined so far, `$$` by `$`; what is not
 * defined stays as it is. A cluster's own variables for services are defined, too.
 */
export function expand(text: string, environment: Environment, services = true): Template {
  const parts: Template[] = [];
  let at = 0;
  for (let dollar = text.indexOf("$"); dollar !== -1; dollar = text.indexOf("$", at)) {
    parts.push([text.slice(at, dollar)]);
    const reference = /^\$\(([^)]*)\)/u.exec(text.slice(dollar));
    if (text[dollar + 1] === "$") {
      parts.push(["$"]);
      at = dollar + 2;
    } else if (reference !== null) {
      const [whole, name = ""] = reference;
      parts.push(environment.get(name) ?? (services ? serviceVariable(name) : undefined) ?? [whole]);
      at = dollar + whole.length;
    } else {
      parts.push(["$"]);
      at = dollar + 1;
    }
  }
  return join(...parts, [text.slice(at)]);
}

function serviceVariable(name: string): Template | undefined {
  if (name === "KUBERNETES_SERVICE_HOST") return variable("serviceAddress");
  return name === "KUBERNETES_SERVICE_PORT" ? variable("servicePort") : undefined;
}
