import { describe, expect, it } from "vitest";
import {
  DEFAULT_REGISTRIES,
  expandReference,
  formatReference,
  parseReference,
  parseRegistryConfig,
} from "../src/index.ts";

const HEX = "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9";

/** The configuration of image-rs's own tests, as the TOML reader gives it. */
const config = parseRegistryConfig({
  "unqualified-search-registries": ["docker.io", "example1.com"],
  registry: [
    { prefix: "example.com/banned", blocked: true },
    { prefix: "mirror-test.com", mirror: [{ location: "127.0.0.1:5000", insecure: true }] },
    { prefix: "remapping-test.com", location: "127.0.0.1:5000", insecure: true },
    { location: "127.0.0.1:5000", insecure: true },
    { prefix: "deep.test", location: "other.test/sub/" },
    { prefix: "deep.test/team/one", location: "one.test" },
    { prefix: "*.wild.test", location: "proxy.test/wild" },
  ],
});
const expand = (image: string): string[] =>
  expandReference(config, parseReference(image)).map(
    ({ reference, insecure }) => `${insecure ? "http" : "https"} ${formatReference(reference)}`,
  );

describe("expandReference", () => {
  it.each<[string, string[]]>([
    ["busybox", ["https docker.io/library/busybox:latest", "https example1.com/busybox:latest"]],
    ["mirror-test.com/a:v1", ["http 127.0.0.1:5000/a:v1", "https mirror-test.com/a:v1"]],
    ["remapping-test.com/a/b:v1", ["http 127.0.0.1:5000/a/b:v1"]],
    ["127.0.0.1:5000/a:v1", ["http 127.0.0.1:5000/a:v1"]],
    ["127.0.0.1:50001/a:v1", ["https 127.0.0.1:50001/a:v1"]],
    ["deep.test/x:v1", ["https other.test/sub/x:v1"]],
    ["deep.test/team/one/x:v1", ["https one.test/x:v1"]],
    ["deep.test/team/onerous:v1", ["https other.test/sub/team/onerous:v1"]],
    ["a.wild.test:8443/x:v1", ["https proxy.test/wild/x:v1"]],
    ["wild.test/x:v1", ["https wild.test/x:v1"]],
    ["evil-mirror-test.com/a:v1", ["https evil-mirror-test.com/a:v1"]],
    ["else.test/mirror-test.com/a:v1", ["https else.test/mirror-test.com/a:v1"]],
  ])("%s", (image, tasks) => {
    expect(expand(image)).toEqual(tasks);
  });

  it("keeps the digest in every place", () => {
    for (const image of [
      `busybox:1@sha256:${HEX}`,
      `mirror-test.com/a:v1@sha256:${HEX}`,
      `deep.test/x@sha256:${HEX}`,
    ]) {
      const tasks = expand(image);
      expect(tasks.length).toBeGreaterThan(0);
      for (const task of tasks) expect(task).toContain(`@sha256:${HEX}`);
    }
  });

  it("refuses a blocked image", () => {
    expect(() => expand("example.com/banned/x:v1")).toThrow(
      "image example.com/banned/x:v1 is blocked by registry rule example.com/banned",
    );
    expect(expand("example.com/bannedbutnot:v1")).toEqual(["https example.com/bannedbutnot:v1"]);
  });

  it("leaves out a blocked place where there are others", () => {
    const rules = parseRegistryConfig({
      "unqualified-search-registries": ["docker.io", "b.test"],
      registry: [{ prefix: "docker.io", blocked: true }],
    });
    expect(expandReference(rules, parseReference("x")).map(({ reference }) => formatReference(reference))).toEqual([
      "b.test/x:latest",
    ]);
  });

  it("without a configuration is the image itself over TLS", () => {
    expect(expandReference(DEFAULT_REGISTRIES, parseReference("a.test/b"))).toEqual([
      { reference: parseReference("a.test/b"), insecure: false },
    ]);
  });
});

describe("parseRegistryConfig", () => {
  it.each<[unknown, string]>([
    [null, "is not a table"],
    [{ registries: [] }, "unknown key registries"],
    [{ registry: {} }, "not a list of tables"],
    [{ registry: [{}] }, "needs a prefix or a location"],
    [{ registry: [{ prefix: "*.x.test" }] }, "prefix *.x.test needs a location"],
    [{ registry: [{ prefix: "a.test", mirror: [{ insecure: true }] }] }, "a mirror of a.test has no location"],
    [{ registry: [{ prefix: "a.test", "mirror-by-digest-only": true }] }, "unknown key mirror-by-digest-only"],
    [{ registry: [{ prefix: "a.test", insecure: "yes" }] }, "insecure is not true or false"],
    [{ "unqualified-search-registries": "docker.io" }, "not a list of strings"],
  ])("refuses %j", (value, why) => {
    expect(() => parseRegistryConfig(value)).toThrow(why);
  });
});
