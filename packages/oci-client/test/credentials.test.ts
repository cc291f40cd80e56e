import { describe, expect, it } from "vitest";
import { CredentialStore, parseReference } from "../src/index.ts";

const auth = (text: string): string => Buffer.from(text).toString("base64");
const store = (auths: unknown): CredentialStore => CredentialStore.parse(Buffer.from(JSON.stringify({ auths })));

describe("CredentialStore", () => {
  it("prefers the longest path, then the registry", () => {
    const credentials = store({
      "r.test": { auth: auth("registry:1") },
      "r.test/a": { auth: auth("namespace:2") },
      "r.test/a/b": { auth: auth("repository:3") },
    });
    const user = (image: string): string | undefined => credentials.find(parseReference(image))?.username;
    expect([user("r.test/a/b"), user("r.test/a/c"), user("r.test/x"), user("s.test/x"), user("r.test/ab")]).toEqual([
      "repository",
      "namespace",
      "registry",
      undefined,
      "registry",
    ]);
  });

  it.each([
    "https://index.docker.io/v1/",
    "docker.io",
    "index.docker.io",
    "registry-1.docker.io",
    "http://docker.io/x",
  ])("finds docker.io under %s", (key) => {
    expect(store({ [key]: { auth: auth("u:p") } }).find(parseReference("busybox"))).toEqual({
      username: "u",
      password: "p",
    });
  });

  it("splits at the first colon and drops the newline of echo | base64", () => {
    expect(store({ "r.test": { auth: auth("u:p:q\n") } }).find(parseReference("r.test/x"))).toEqual({
      username: "u",
      password: "p:q",
    });
  });

  it.each<[unknown, string]>([
    [{ "r.test": {} }, "r.test has no auth in base64"],
    [{ "r.test": { auth: "!!!" } }, "r.test has no auth in base64"],
    [{ "r.test": { auth: "dXNl" } }, "not user:password"],
    [{ "r.test": { identitytoken: "x" } }, "r.test has no auth"],
    [[], "auths is not an object"],
  ])("refuses %j", (auths, why) => {
    expect(() => store(auths)).toThrow(why);
  });

  it("does not repeat a secret in its errors", () => {
    expect(() => store({ "r.test": { auth: auth("topsecret") } })).toThrow(/^(?!.*topsecret)/);
    // Neither does the cause, which goes into what callers are told.
    const parse = (): CredentialStore => CredentialStore.parse(Buffer.from('{"auths":{"r":{"auth":topsecret}}}'));
    expect(parse).toThrow(expect.not.objectContaining({ cause: expect.anything() as unknown }) as Error);
  });
});
