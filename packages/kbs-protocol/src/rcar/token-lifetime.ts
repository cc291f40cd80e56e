import { parseStrictJson } from "../strict-json.ts";

/**
 * For how many milliseconds a token was given (`exp` less `iat`), or undefined where it does not say. Nothing is
 * verified: those who are shown the token do that.
 */
export function tokenLifetime(token: string): number | undefined {
  const [, payload = "", , more] = token.split(".");
  if (more !== undefined) return undefined;
  try {
    const claims = parseStrictJson(Buffer.from(payload, "base64url").toString("utf8"), "token");
    if (typeof claims !== "object" || claims === null) return undefined;
    const { exp, iat } = claims as Record<string, unknown>;
    if (typeof exp !== "number" || typeof iat !== "number") return undefined;
    return Math.max(0, exp - iat) * 1000;
  } catch {
    return undefined;
  }
}
