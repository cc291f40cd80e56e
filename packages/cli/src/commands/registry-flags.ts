import type { Flag } from "../command.ts";

interface Texts extends Flag {
  readonly type: "string";
  readonly multiple: true;
}

/** How registries are trusted, wherever images are read. */
export const REGISTRY_FLAGS: Readonly<Record<"insecure-registry" | "registry-ca", Texts>> = {
  "insecure-registry": { type: "string", multiple: true, value: "NAME", help: "registry without TLS" },
  "registry-ca": { type: "string", multiple: true, value: "FILE", help: "authority of a registry's certificate, PEM" },
};
