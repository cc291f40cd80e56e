import { mkdtempDisposableSync, readFileSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { parseInitdata, readInitdataImage } from "@nacre/kbs-protocol";
import { describe, expect, it } from "vitest";

import { hubConfigIn, initdataDocument, writeInitdata } from "../../src/guest/initdata.ts";
import { checkOptions } from "../../src/guest/options.ts";

const HUB = '[image]\n[[image.registry_config.registry]]\nprefix = "198.18.0.1"\ninsecure = true\n';
const POLICY = "package agent_policy\n\ndefault X := \"'''\\ \u00e9\"\n";

describe("initdata of a guest", () => {
  it("holds the policy and the hub's configuration, letter for letter", () => {
    const document = initdataDocument({ policy: POLICY, hubConfig: HUB });
    const { algorithm, data } = parseInitdata(Buffer.from(document));
    expect(algorithm).toBe("sha256");
    expect(Object.fromEntries(data)).toEqual({ "cdh.toml": HUB, "policy.rego": POLICY });
    expect(hubConfigIn(document)).toBe(HUB);
  });

  it("names no policy where the image's own is to hold", () => {
    const { data } = parseInitdata(Buffer.from(initdataDocument({ policy: undefined, hubConfig: HUB })));
    expect([...data.keys()]).toEqual(["cdh.toml"]);
  });

  it("becomes a block device of whole sectors that its owner alone reads", async () => {
    using folder = mkdtempDisposableSync(join(tmpdir(), "nacre-initdata-"));
    const file = join(folder.path, "initdata.img");
    const document = initdataDocument({ policy: POLICY, hubConfig: HUB });
    await writeInitdata(file, document);
    expect((await readInitdataImage(readFileSync(file))).toString()).toBe(document);
    expect(statSync(file).size % 512).toBe(0);
    expect(statSync(file).mode & 0o777).toBe(0o600);
  });

  it("that is given as a whole is looked into, and refused where no guest would take it", () => {
    expect(hubConfigIn('version = "0.1.0"\nalgorithm = "sha256"\n[data]\n')).toBeUndefined();
    expect(() => hubConfigIn("version = 1")).toThrow("initdata document cannot be used");
  });

  it.each(["policy", "registries", "extraRoots", "hubConfig"] as const)(
    "of a virtual machine takes no %s beside it",
    (key) => {
      const value = key === "policy" || key === "hubConfig" ? "text" : [];
      expect(() => checkOptions({ initdata: "x", [key]: value })).not.toThrow();
      expect(() => checkOptions({ kind: "qemu", initdata: "x", [key]: value })).toThrow(`${key}: part of initdata`);
    },
  );
});
