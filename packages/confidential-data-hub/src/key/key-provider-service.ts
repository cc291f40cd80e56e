import { formatUnwrapOutput, OcicryptError, parseUnwrapInput } from "@nacre/ocicrypt";
import { Code, type ComponentLog, type KeyProviderService } from "@nacre/protocols";
import { type Handlers, RpcError } from "@nacre/ttrpc";

import { failure, failureText } from "../answer.ts";
import { HubError } from "../error.ts";
import type { Unwrapper } from "./unwrapper.ts";

/** Without upstream's usual mark. */
const PARSE_SENTENCE = "[ERROR] UnwrapKey Parse request failed";

/** The KeyProviderService of a guest, which unwraps and never wraps; what unwraps is loaded with the first packet. */
export function keyProviderService(
  load: () => Promise<Pick<Unwrapper, "unwrap">>,
  log: ComponentLog,
): Handlers<typeof KeyProviderService> {
  return {
    WrapKey() {
      throw new RpcError(Code.NOT_FOUND, "/keyprovider.KeyProviderService/WrapKey is not supported");
    },
    async UnWrapKey({ KeyProviderKeyWrapProtocolInput: input }, context) {
      log("info", "unwrapping the key of a layer");
      const packet = packetOf(input, log);
      try {
        const unwrapper = await load();
        const options = await unwrapper.unwrap(packet, context.signal);
        try {
          const output = formatUnwrapOutput(options);
          context.zeroAfter(output);
          return { KeyProviderKeyWrapProtocolOutput: output };
        } finally {
          options.fill(0);
        }
      } catch (error) {
        throw failure(log, failureText("Decrypt Image (UnwrapKey) failed", error), error);
      }
    },
  };
}

function packetOf(input: Uint8Array, log: ComponentLog): string {
  try {
    return parseUnwrapInput(input);
  } catch (cause) {
    if (!(cause instanceof OcicryptError)) throw cause;
    const error = new HubError("malformed", cause.message);
    throw failure(log, `${PARSE_SENTENCE}: ${error.message}`, error);
  }
}
