import { ReferenceValueProviderService, stringifyLossless } from "@nacre/protocols";

import type { ReferenceValueStore } from "../rvps/reference-values.ts";
import { saying } from "./attestation-api.ts";
import { served, type ServedMethod } from "./service-server.ts";

/** The gRPC methods of reference values. */
export function referenceMethods(values: ReferenceValueStore): readonly ServedMethod[] {
  const { QueryReferenceValue, RegisterReferenceValue } = ReferenceValueProviderService.methods;
  return [
    served(QueryReferenceValue, async ({ reference_value_id: name }) => {
      const found = await saying("Failed to query reference values: ", values.query(name));
      return found === undefined ? {} : { reference_value_results: stringifyLossless(found) };
    }),
    served(RegisterReferenceValue, async ({ message }) => {
      await saying("Register reference value: ", values.register(message));
      return {};
    }),
  ];
}
