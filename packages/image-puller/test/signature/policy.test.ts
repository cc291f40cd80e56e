import { readFileSync } from "node:fs";

import { parseReference } from "oci-client";
import { describe, expect, it } from "vitest";

import { vectors } from "../../../../test/setup/data.ts";
import { describeError } from "../../src/error.ts";
import { parseSignaturePolicy } from "../../src/signature/policy.ts";
import { requirementsFor } from "../../src/signature/scope.ts";

const parse = (policy: unknown) => parseSignaturePolicy(Buffer.from(JSON.stringify(policy)));
const reason = (bytes: string): string => {
  try {
    parseSignaturePolicy(Buffer.from(bytes));
  } catch (error) {
    return describeError(error);
  }
  return "accepted";
};
const refusal = (policy: unknown): string => reason(JSON.stringify(policy));
const REJECT = [{ type: "reject" }];
const ACCEPT = [{ type: "insecureAcceptAnything" }];
const signed = (members: object) => ({ default: [{ type: "sigstoreSigned", ...members }] });

describe("a policy", () => {
  it("has keys in every form that is documented", () => {
    const pem = "-----BEGIN PUBLIC KEY-----\nAA==\n-----END PUBLIC KEY-----\n";
    const keys = (members: object) => parse(signed(members)).fallback.map((item) => "keys" in item && item.keys)[0];
    expect(keys({ keyPath: "/k" })).toEqual([{ path: "/k" }]);
    expect(keys({ keyPaths: ["/k", "kbs:///a/b/c"] })).toEqual([{ path: "/k" }, { path: "kbs:///a/b/c" }]);
    expect(keys({ keyData: Buffer.from(pem).toString("base64") })).toEqual([{ data: Buffer.from(pem) }]);
    expect(keys({ keyDatas: [pem] })).toEqual([{ data: Buffer.from(pem) }]);
  });

  it.each([
    ["no default", { transports: {} }, "default: expected a list of 1 to 64 requirements"],
    ["an empty list", { default: [] }, "default: expected a list"],
    ["an empty list of a scope", { default: REJECT, transports: { docker: { "a.b": [] } } }, 'docker "a.b": expected'],
    ["an unknown member", { default: REJECT, defaults: 1 }, 'policy: unknown member "defaults"'],
    ["an unknown member of a requirement", { default: [{ type: "reject", when: 1 }] }, 'unknown member "when"'],
    ["an unknown type", { default: [{ type: "signedBaseLayer" }] }, 'unknown type "signedBaseLayer"'],
    ["an unknown type of another transport", { default: REJECT, transports: { dir: { "": [{ type: "x" }] } } }, "x"],
    ["no key", signed({}), "expected exactly one of keyPath"],
    ["two keys", signed({ keyPath: "/k", keyData: "AA==" }), "expected exactly one of keyPath"],
    ["no keys in the list", signed({ keyPaths: [] }), "keyPaths: expected a list"],
    ["a key that is not base64", signed({ keyData: "%%" }), "expected base64"],
    ["an unknown key type", { default: [{ type: "signedBy", keyType: "X509CAs", keyPath: "/k" }] }, "keyType GPGKeys"],
    ["an unknown identity", signed({ keyPath: "/k", signedIdentity: { type: "any" } }), "signedIdentity: unknown type"],
    ["an identity's unknown member", signed({ keyPath: "/k", signedIdentity: { type: "matchExact", a: 1 } }), '"a"'],
    ["a name without tag as exact reference", exactReference("docker.io/a/b"), "a name with a tag or digest"],
    ["a scope that cannot match", { default: REJECT, transports: { docker: { "*.a.b/c": ACCEPT } } }, "a wildcard"],
    [
      "a scope with a slash at its end",
      { default: REJECT, transports: { docker: { "a.b/": ACCEPT } } },
      "expected a name",
    ],
  ])("is refused as a whole for %s", (_, policy, why) => {
    expect(refusal(policy)).toContain("Invalid image policy file: ");
    expect(refusal(policy)).toContain(why);
  });

  it.each([
    [
      "a doubled member",
      '{"default":[{"type":"reject"}],"default":[{"type":"insecureAcceptAnything"}]}',
      "policy: expected each member once",
    ],
    [
      "a doubled member in another spelling",
      '{"default":[{"type":"reject"}],"def\\u0061ult":[]}',
      "policy: expected each member once",
    ],
    ["two documents", '{"default":[{"type":"reject"}]}{}', "policy: expected JSON"],
    ["a comma at the end", '{"default":[{"type":"reject"},]}', "policy: expected JSON"],
    ["depth", `{"default":${"[".repeat(100)}${"]".repeat(100)}}`, "policy: expected at most 64 levels"],
    ["no text", "\u0000", "policy: expected JSON"],
    ["nothing", "", "policy: expected JSON"],
  ])("is refused as a whole for %s", (_, text, why) => {
    expect(reason(text)).toContain(why);
  });

  it("takes no name of the language for a member", () => {
    expect(reason('{"default":[{"type":"reject"}],"__proto__":{}}')).toContain('unknown member "__proto__"');
    expect(reason('{"__proto__":{"default":[{"type":"insecureAcceptAnything"}]}}')).toContain(
      'unknown member "__proto__"',
    );
    const policy = parse({ default: REJECT, transports: { docker: { "": REJECT } } });
    expect(requirementsFor(policy, parseReference("constructor/valueof")).scope).toBe('docker ""');
  });

  const recorded = vectors("signature/policy.json");
  it(recorded === undefined ? "names what it does not know" : "names what it does not know of a real policy", () => {
    // containers/image accepts types here that no release of it enforces.
    const bytes =
      recorded === undefined
        ? Buffer.from('{"default":[{"type":"signedBy","keyType":"signedByGPGKeys","keyPath":"/k"}]}')
        : readFileSync(recorded);
    expect(reason(bytes.toString())).toMatch(/Invalid image policy file: .*expected keyType GPGKeys/u);
  });

  const upstream = vectors("image/signature/policy.json");
  it("of image-rs's own tests is read", () => {
    const policy = parseSignaturePolicy(
      upstream === undefined
        ? Buffer.from(
            '{"default":[{"type":"reject"}],"transports":{"dir":{"":[{"type":"reject"}]},"docker":{"a.b":[{"type":"reject"}]}}}',
          )
        : readFileSync(upstream),
    );
    expect(policy.fallback).toEqual(REJECT);
    expect(policy.scopes.size).toBeGreaterThan(0);
  });
});

function exactReference(dockerReference: string): object {
  return signed({ keyPath: "/k", signedIdentity: { type: "exactReference", dockerReference } });
}

describe("the scope of an image", () => {
  const scopes = [
    "registry.example:5000/team/app:v1",
    "registry.example:5000/team/app",
    "registry.example:5000/team",
    "registry.example:5000",
    "*.sub.example",
    "*.example",
    "docker.io/library/busybox",
    "",
  ];
  const policy = (without: readonly string[] = []) =>
    parse({
      default: REJECT,
      transports: {
        docker: Object.fromEntries(scopes.filter((scope) => !without.includes(scope)).map((scope) => [scope, ACCEPT])),
      },
    });
  const scopeOf = (image: string, without: readonly string[] = []): string =>
    requirementsFor(policy(without), parseReference(image)).scope;

  it.each([
    ["registry.example:5000/team/app:v1", "registry.example:5000/team/app:v1"],
    ["registry.example:5000/team/app:v2", "registry.example:5000/team/app"],
    ["registry.example:5000/team/app/deep", "registry.example:5000/team/app"],
    ["registry.example:5000/team/application", "registry.example:5000/team"],
    ["registry.example:5000/teams/app", "registry.example:5000"],
    ["registry.example:5001/team/app", "*.example"],
    ["a.sub.example/x", "*.sub.example"],
    ["a.b.sub.example:1/x", "*.sub.example"],
    ["sub.example/x", "*.example"],
    ["example.org/x", ""],
    ["busybox", "docker.io/library/busybox"],
    ["[::1]:5000/x", ""],
  ])("%s is %j", (image, scope) => {
    expect(scopeOf(image)).toBe(`docker ${JSON.stringify(scope)}`);
  });

  it("is the default where no scope holds", () => {
    expect(scopeOf("example.org/x", [""])).toBe("default");
  });
});
