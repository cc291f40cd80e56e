import { describe, expect, it } from "vitest";
import { formatReference, networkHost, OciError, parseReference } from "../src/index.ts";
import { seeded } from "../../../test/fixtures/seeded.ts";

const HEX = "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9";

describe("parseReference", () => {
  it.each([
    ["busybox", "docker.io/library/busybox:latest"],
    ["busybox:1.36", "docker.io/library/busybox:1.36"],
    ["user/image", "docker.io/user/image:latest"],
    ["index.docker.io/busybox", "docker.io/library/busybox:latest"],
    ["docker.io/a/b", "docker.io/a/b:latest"],
    ["localhost/a", "localhost/a:latest"],
    ["localhost:5000/a/b/c:v1", "localhost:5000/a/b/c:v1"],
    ["127.0.0.1:15190/bb:1", "127.0.0.1:15190/bb:1"],
    ["[::1]:5000/a", "[::1]:5000/a:latest"],
    ["EXAMPLE.com/a", "EXAMPLE.com/a:latest"],
    ["test.com:5000", "docker.io/library/test.com:5000"],
    [`a.b/c@sha256:${HEX}`, `a.b/c@sha256:${HEX}`],
    [`a.b/c:tag@sha256:${HEX}`, `a.b/c:tag@sha256:${HEX}`],
    [`a.b/c@sha256:${HEX.toUpperCase()}`, `a.b/c@sha256:${HEX}`],
    ["a.b/c__d/e-f--g.h_i", "a.b/c__d/e-f--g.h_i:latest"],
  ])("%s is %s", (text, complete) => {
    expect(formatReference(parseReference(text))).toBe(complete);
    expect(parseReference(complete)).toEqual(parseReference(text));
  });

  it.each([
    ["", "a repository has"],
    ["UPPER CASE", "a repository has"],
    ["a.b/Upper", "a repository has"],
    ["a/", "a repository has"],
    ["/a", "a repository has"],
    ["a//b", "a repository has"],
    ["a.b/c:", "not a tag"],
    ["a.b/c:-x", "not a tag"],
    [`a.b/c:${"x".repeat(129)}`, "not a tag"],
    ["a.b/c@sha256:123", "not a digest"],
    ["a.b/c@md5:0123456789abcdef0123456789abcdef", "not a digest"],
    [`a.b/c@sha256:${HEX}@sha256:${HEX}`, "not a digest"],
    ["-a.b/c", "not a host name"],
    ["a.b:port/c", "not a host name"],
    ["a.b/../c", "a repository has"],
    [`a.b/${"x/".repeat(200)}y`, "longer than 255"],
    ["x".repeat(2000), "2000 characters"],
  ])("refuses %s", (text, why) => {
    expect(() => parseReference(text)).toThrow(
      expect.objectContaining({ code: "reference", message: expect.stringContaining(why) }) as Error,
    );
    expect(() => parseReference(text)).toThrow(/^Illegal image reference/);
  });

  it("gives a reference or an OciError for any text", () => {
    const random = seeded(1);
    const alphabet = "ab0.:/@-_ A%[]sha256";
    let parsed = 0;
    for (let round = 0; round < 5000; round += 1) {
      const text = Array.from({ length: random(40) }, () => alphabet[random(alphabet.length)]).join("");
      try {
        const reference = parseReference(text);
        expect(parseReference(formatReference(reference))).toEqual(reference);
        parsed += 1;
      } catch (error) {
        expect(error).toBeInstanceOf(OciError);
      }
    }
    expect(parsed).toBeGreaterThan(10);
  });

  it("takes no longer than linear time for long runs of separators", () => {
    expect(() => parseReference(`${"a-".repeat(500)}!`)).toThrow(OciError);
  });
});

describe("networkHost", () => {
  it("knows where docker.io is", () => {
    expect(networkHost("docker.io")).toBe("index.docker.io");
    expect(networkHost("ghcr.io")).toBe("ghcr.io");
  });
});
