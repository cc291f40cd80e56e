import { parseResourceUri } from "@nacre/kbs-protocol";

import { HubError } from "../error.ts";

/**
 * A name that a sealed text gives the broker. Only what its owner put there, under the plugin `resource`: what another
 * plugin answers may be made from what somebody else sends. Throws HubError or KbsProtocolError.
 */
export function brokerName(name: string, what: string): string {
  const { plugin } = parseResourceUri(name);
  if (plugin !== "resource")
    throw new HubError("malformed", `${what}: expected a resource's name, got one of ${plugin}`);
  return name;
}
