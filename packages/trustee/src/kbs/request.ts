/** A request as the broker's core sees it, whatever brought it. */
export interface KbsRequest {
  readonly method: string;
  /** Path and query as they came. */
  readonly target: string;
  readonly authorization: string | undefined;
  readonly cookie: string | undefined;
  readonly body: Buffer;
}

export interface KbsReply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer | string;
}

export function reply(status: number, body: Buffer | string = "", contentType?: string): KbsReply {
  return { status, headers: contentType === undefined ? {} : { "content-type": contentType }, body };
}

export const JSON_TYPE = "application/json";

/** A path below /kbs/v0: plugin and rest, percent escapes resolved; undefined where it is not below. */
export interface Route {
  readonly name: string;
  readonly path: readonly string[];
  readonly query: Readonly<Record<string, string>>;
}

const PREFIX = "/kbs/v0/";

export function routeOf(target: string): Route | undefined {
  const [rawPath, rawQuery = ""] = splitOnce(target, "?");
  if (!rawPath.startsWith(PREFIX)) return undefined;
  let parts: readonly string[];
  try {
    // An escaped slash stays part of its segment, where no name has one.
    parts = rawPath.slice(PREFIX.length).split("/").map(decodeURIComponent);
  } catch {
    return undefined;
  }
  const [name = "", ...path] = parts;
  return { name, path, query: Object.fromEntries(new URLSearchParams(rawQuery)) };
}

function splitOnce(text: string, separator: string): readonly [string, string?] {
  const at = text.indexOf(separator);
  return at < 0 ? [text] : [text.slice(0, at), text.slice(at + 1)];
}

/** A cookie's value by name. */
export function cookieValue(header: string | undefined, name: string): string | undefined {
  for (const part of (header ?? "").split(";")) {
    const [key, value] = splitOnce(part.trim(), "=");
    if (key === name) return value;
  }
  return undefined;
}
