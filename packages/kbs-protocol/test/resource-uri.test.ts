import { describe, expect, it } from "vitest";

import { formatResourceUri, KbsProtocolError, parseResourceUri, resourcePath } from "../src/index.ts";

describe("names of resources", () => {
  it.each([
    ["kbs:///a/b/c", "kbs:///a/b/c", "/resource/a/b/c"],
    ["KBS://host:80/a/b/c", "kbs:///a/b/c", "/resource/a/b/c"],
    ["kbs://user@host/a/./b/../c?x=1&y#z", "kbs:///a/c?x=1&y", "/resource/a/c?x=1&y"],
    ["kbs+pkcs11:///wrap-key", "kbs+pkcs11:///wrap-key", "/pkcs11/wrap-key"],
    ["kbs+resource:///a/b/c", "kbs:///a/b/c", "/resource/a/b/c"],
    ["kbs:///a/%41/c", "kbs:///a/%41/c", "/resource/a/%41/c"],
  ])("reads %s", (text, canonical, path) => {
    const uri = parseResourceUri(text);
    expect(formatResourceUri(uri)).toBe(canonical);
    expect(resourcePath(uri)).toBe(path);
  });

  it.each([
    [""],
    ["kbs://"],
    ["kbs:///"],
    ["kbs+:///a"],
    ["http://a/b"],
    ["kbs:a/b/c"],
    [`kbs:///${"a".repeat(5000)}`],
  ])("refuses %s", (text) => {
    expect(() => parseResourceUri(text)).toThrow(KbsProtocolError);
  });
});
