import { expandReference, parseReference } from "oci-client";
import { describe, expect, it } from "vitest";
import { hubConfig } from "../src/guest/hub-config.ts";
import { parseGuestRegistries } from "../src/guest-registries.ts";

const NETWORK = { gateway: "198.18.0.1", address: "198.18.0.2", prefixLength: 30 };
const none = (): undefined => undefined;
const places = (text: string, reference: string): unknown =>
  expandReference(parseGuestRegistries(text, none).rules, parseReference(reference));

describe("parseGuestRegistries", () => {
  it("looks where the guest looks", () => {
    const rule = { prefix: "registry.example", location: "198.18.0.1:5000", insecure: true };
    const text = hubConfig(NETWORK, [rule], ["-----BEGIN CERTIFICATE-----\nabc\n"]);
    expect(parseGuestRegistries(text, none).extraRoots).toEqual(["-----BEGIN CERTIFICATE-----\nabc\n"]);
    expect(places(text, "registry.example/app:1")).toMatchObject([
      { insecure: true, reference: { registry: "198.18.0.1:5000", repository: "app", tag: "1" } },
    ]);
    expect(places(text, "198.18.0.1:5000/app")).toMatchObject([{ insecure: true }]);
    expect(places(text, "example.org/app")).toMatchObject([{ insecure: false }]);
  });

  it("reads rules and accounts from files of the guest", () => {
    const files: Record<string, string> = {
      "/etc/registries.conf": '[[registry]]\nprefix = "a.example"\ninsecure = true\n',
      "/etc/auth.json": '{"auths":{"a.example":{"auth":"dXNlcjpwYXNz"}}}',
    };
    const text = `[image]
registry_configuration_uri = "file:///etc/registries.conf"
authenticated_registry_credentials_uri = "file:///etc/auth.json"
`;
    const { rules, credentials } = parseGuestRegistries(text, (path) => Buffer.from(files[path] ?? ""));
    expect(expandReference(rules, parseReference("a.example/app"))).toMatchObject([{ insecure: true }]);
    expect(credentials?.find({ registry: "a.example", repository: "app" })).toEqual({
      username: "user",
      password: "pass",
    });
  });

  it("has the defaults without a file, and refuses one that it does not understand", () => {
    expect(places("", "docker.io/library/busybox")).toMatchObject([{ insecure: false }]);
    expect(() => parseGuestRegistries("[image", none)).toThrow("the guest's registry configuration cannot be used");
  });
});
