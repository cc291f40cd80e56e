import { describe, expect, it } from "vitest";

import { hubConfig } from "../../src/guest/hub-config.ts";
import { chooseNetwork, guestMac, networkAt } from "../../src/guest/network.ts";

describe("networks of guests", () => {
  it("are four addresses of 198.18.0.0/15 each", () => {
    expect(networkAt(0)).toEqual({ gateway: "198.18.0.1", address: "198.18.0.2", prefixLength: 30 });
    expect(networkAt(64)).toMatchObject({ gateway: "198.18.1.1" });
    expect(networkAt((1 << 15) - 1)).toMatchObject({ gateway: "198.19.255.253", address: "198.19.255.254" });
  });

  it("have a card of the guest's own, which no maker of cards has made", () => {
    expect(guestMac("0123abcd")).toBe("02:6e:01:23:ab:cd");
  });

  it("avoid what the machine has", () => {
    const indexes = [7, 7, 9];
    const network = chooseNetwork(() => indexes.shift() ?? 0, new Set([networkAt(7).gateway]));
    expect(network).toEqual(networkAt(9));
  });

  it("end: a range that is full is an error, not a wait", () => {
    expect(() => chooseNetwork(() => 7, new Set([networkAt(7).gateway]))).toThrow("expected a free network");
  });
});

describe("hubConfig", () => {
  const network = networkAt(0);

  it("allows plain HTTP to the gateway and nowhere else", () => {
    expect(hubConfig(network, [], [])).toBe(
      '[image]\n[[image.registry_config.registry]]\nprefix = "198.18.0.1"\ninsecure = true\n',
    );
  });

  it("puts the caller's rules first, and quotes what they hold", () => {
    expect(hubConfig(network, [{ prefix: 'a"b', location: "c\nd" }], ["-----BEGIN\n"])).toBe(
      '[image]\nextra_root_certificates = ["-----BEGIN\\n"]\n' +
        '[[image.registry_config.registry]]\nprefix = "a\\"b"\nlocation = "c\\nd"\ninsecure = false\n' +
        '[[image.registry_config.registry]]\nprefix = "198.18.0.1"\ninsecure = true\n',
    );
  });
});
