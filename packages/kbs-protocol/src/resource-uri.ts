import { KbsProtocolError } from "./error.ts";

/** Characters of a name. */
const MAX_URI = 4096;

/** What a broker is asked for: `kbs[+plugin]://[host]/segment…[?query]`. The host is nobody's: one broker is configured. */
export interface ResourceUri {
  readonly plugin: string;
  /** Without the first slash; percent escapes stay. */
  readonly path: string;
  /** Without the question mark. */
  readonly query: string | undefined;
}

/** The plugin that a name without one means. */
const RESOURCE = "resource";

/** Throws KbsProtocolError `uri`. */
export function parseResourceUri(text: string): ResourceUri {
  const scheme = /^kbs(?:\+(?<plugin>[a-z0-9.+-]*))?:\/\//iu.exec(text);
  if (scheme === null || text.length > MAX_URI || !URL.canParse(text)) {
    throw new KbsProtocolError("uri", `resource: expected kbs:///PATH of at most ${MAX_URI} characters`);
  }
  const plugin = scheme.groups?.["plugin"]?.toLowerCase();
  if (plugin === "") throw new KbsProtocolError("uri", "resource: expected a plugin's name behind kbs+");
  const { pathname, search } = new URL(text);
  const path = pathname.replace(/^\//u, "");
  if (path === "") throw new KbsProtocolError("uri", "resource: expected a path");
  return { plugin: plugin ?? RESOURCE, path, query: search === "" ? undefined : search.slice(1) };
}

/** The one way to write it. */
export function formatResourceUri({ plugin, path, query }: ResourceUri): string {
  const scheme = plugin === RESOURCE ? "kbs" : `kbs+${plugin}`;
  return `${scheme}:///${path}${query === undefined ? "" : `?${query}`}`;
}

/** Where a broker has it, below its address. */
export function resourcePath({ plugin, path, query }: ResourceUri): string {
  return `/${plugin}/${path}${query === undefined ? "" : `?${query}`}`;
}
