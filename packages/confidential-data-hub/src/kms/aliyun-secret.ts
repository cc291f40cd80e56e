import type { Fields } from "@nacre/ocicrypt";

import { HubError } from "../error.ts";

/** Which version of a secret; empty texts mean the newest. */
export interface SecretSelector {
  readonly versionId: string;
  readonly versionStage: string;
}

/** Throws HubError `malformed`. */
export function secretSelector(annotations: Fields): SecretSelector {
  const text = (name: string): string => {
    const value = annotations[name] ?? "";
    if (typeof value !== "string") throw new HubError("malformed", `annotations.${name}: expected a text`);
    return value;
  };
  return { versionId: text("version_id"), versionStage: text("version_stage") };
}
