import { parseStrictJson } from "../strict-json.ts";

/** What a broker's error `type` ends with; the address before it is the same for all. */
export const KBS_ERRORS = [
  "AdminAuthAccess",
  "AdminAuthInitialization",
  "AttestationError",
  "HTTPFailed",
  "HTTPSFailed",
  "InvalidRequestPath",
  "JweError",
  "ParsePolicyError",
  "PluginInternalError",
  "PluginManagerInitialization",
  "PluginNotFound",
  "PolicyDeny",
  "PolicyEngineError",
  "PrometheusError",
  "RvpsError",
  "SerdeError",
  "StorageBackendInitialization",
  "TokenNotFound",
  "TokenVerifierError",
] as const;
export type KbsErrorVariant = (typeof KBS_ERRORS)[number];

export const KBS_ERROR_TYPE = "https://github.com/confidential-containers/kbs/errors/";

/** The only statuses that errors have: 404 for these, 401 for all others. */
const NOT_FOUND: readonly string[] = ["InvalidRequestPath", "PluginNotFound"];

/** The body of an error, and the status that it goes with. */
export function formatKbsError(variant: KbsErrorVariant, detail: string): { status: 401 | 404; body: string } {
  const body = JSON.stringify({ type: `${KBS_ERROR_TYPE}${variant}`, detail });
  return { status: NOT_FOUND.includes(variant) ? 404 : 401, body };
}

export interface KbsErrorBody {
  /** Not always one that we know. */
  readonly variant: string;
  readonly detail: string;
}

/** Undefined where the body is not a broker's: a proxy's page, or nothing. */
export function parseKbsError(body: string): KbsErrorBody | undefined {
  try {
    const value = parseStrictJson(body, "error body");
    if (typeof value !== "object" || value === null) return undefined;
    const { type, detail } = value as Record<string, unknown>;
    if (typeof type !== "string" || typeof detail !== "string" || !type.startsWith(KBS_ERROR_TYPE)) return undefined;
    const variant = type.slice(KBS_ERROR_TYPE.length);
    return /^\w{1,64}$/u.test(variant) ? { variant, detail } : undefined;
  } catch {
    return undefined;
  }
}
