import { describe, expect, it } from "vitest";

import { defaultConfig } from "../../src/config.ts";
import type { GuestInitdata } from "../../src/initdata/guest-initdata.ts";
import {
  COCO_EXTENSION,
  loadComponentsManifest,
  MANIFEST_PATH,
  parseComponentsManifest,
} from "../../src/launch/components-manifest.ts";
import type { Component } from "../../src/launch/component.ts";
import { launchPlan } from "../../src/launch/plan.ts";

const ROOT = "/run/kata-extensions/coco";

/** In the shape of upstream's, with two builds of one component. */
const MANIFEST = `schema_version = 1
later = "unknown"

[paths]
"ocicrypt-config" = "etc/ocicrypt_config.json"

[[process]]
id = "attestation-agent"
level = 1
args = ["--attestation_sock", "\${aa_attestation_uri}"]
optional_args = [{ when = "initdata_toml_path", args = ["--initdata-toml", "\${initdata_toml_path}"] }]
config = "\${aa_config_path}"
wait_socket = "\${aa_attestation_socket}"
timeout_secs = "\${launch_process_timeout}"
select = "\${attester_variant}"
[process.variants.default]
path = "usr/local/bin/attestation-agent"
[process.variants.nvidia]
path = "usr/local/bin/attestation-agent-nv"
args = ["--gpus"]
env = { LD_LIBRARY_PATH = "\${extension_root}/usr/local/lib" }

[[process]]
id = "confidential-data-hub"
level = 2
path = "usr/local/bin/confidential-data-hub"
config = "\${cdh_config_path}"
env = { OCICRYPT_KEYPROVIDER_CONFIG = "\${ocicrypt_config_path}", PATH = "\${extension_root}/usr/sbin" }
wait_socket = "\${cdh_socket}"

[[process]]
id = "api-server-rest"
level = 3
path = "usr/local/bin/api-server-rest"
args = ["--features", "\${rest_api_features}"]
timeout_secs = "0"

[[process]]
id = "never"
path = "bin/never"
`;

function plan(text: string, initdata?: Partial<GuestInitdata>, attesterVariant = ""): readonly Component[] {
  return launchPlan({
    config: defaultConfig(),
    exists: () => true,
    initdata: initdata as GuestInitdata | undefined,
    manifest: parseComponentsManifest(ROOT, text),
    attesterVariant,
  }).start;
}

describe("the extension's manifest", () => {
  it("says what is started, with its variables filled in", () => {
    const [agent, hub, rest, ...more] = plan(MANIFEST);
    const aa = "/run/confidential-containers/attestation-agent/attestation-agent.sock";
    expect(agent).toMatchObject({
      id: "attestation-agent",
      path: `${ROOT}/usr/local/bin/attestation-agent`,
      args: ["--attestation_sock", `unix://${aa}`],
      socket: aa,
      timeoutMs: 6000,
    });
    expect(agent?.env["PATH"]).toBe("/usr/sbin:/usr/bin:/sbin:/bin");
    expect(hub).toMatchObject({ args: [], socket: "/run/confidential-containers/cdh.sock", timeoutMs: 6000 });
    expect(hub?.env).toMatchObject({
      OCICRYPT_KEYPROVIDER_CONFIG: `${ROOT}/etc/ocicrypt_config.json`,
      PATH: `${ROOT}/usr/sbin`,
    });
    expect(rest).toMatchObject({ args: ["--features", "resource"], timeoutMs: 0 });
    expect(rest).not.toHaveProperty("socket");
    expect(more).toEqual([]);
  });

  it("gives initdata to who takes it, and the build that init chose", () => {
    const given = { document: "/i/initdata.toml", attestationConfig: "/i/aa.toml", hubConfig: "/i/cdh.toml" };
    const [agent, hub] = plan(MANIFEST, given, "nvidia");
    expect(agent?.path).toBe(`${ROOT}/usr/local/bin/attestation-agent-nv`);
    expect(agent?.args.slice(2)).toEqual(["--initdata-toml", "/i/initdata.toml", "--gpus", "-c", "/i/aa.toml"]);
    expect(agent?.env["LD_LIBRARY_PATH"]).toBe(`${ROOT}/usr/local/lib`);
    expect(hub?.args).toEqual(["-c", "/i/cdh.toml"]);
  });

  it("counts only where the extension is mounted, and must be there then", () => {
    const read = (): Buffer => Buffer.from(MANIFEST);
    expect(loadComponentsManifest(COCO_EXTENSION, () => false, read)).toBeUndefined();
    expect(loadComponentsManifest(COCO_EXTENSION, () => true, read)?.processes).toHaveLength(4);
    expect(() => loadComponentsManifest(COCO_EXTENSION, (path) => !path.endsWith(MANIFEST_PATH), read)).toThrow(
      "extension /run/kata-extensions/coco: expected a manifest etc/kata-extensions/components.toml, got none",
    );
  });

  it("is read with a bound in bytes, whatever is read", () => {
    const asked: unknown[] = [];
    const read = (...args: readonly [string, number]): Buffer => {
      asked.push(args);
      throw new Error("it is too long");
    };
    expect(() => loadComponentsManifest(COCO_EXTENSION, () => true, read)).toThrow(
      "components manifest: it cannot be read",
    );
    expect(asked).toEqual([[`${COCO_EXTENSION}/${MANIFEST_PATH}`, 65_536]]);
    const long = `schema_version = 1\n# ${"é".repeat(32_768)}\n`;
    expect(() => parseComponentsManifest(ROOT, long)).toThrow("components manifest: expected at most 65536 bytes");
  });

  const one = (keys: string): string => `schema_version = 1\n[[process]]\nid = "a"\nlevel = 1\n${keys}\n`;
  it.each([
    ["[[", "expected TOML"],
    ["", "schema_version: expected 1, got undefined"],
    ["schema_version = 2", "schema_version: expected 1, got 2"],
    ["schema_version = 1\nprocess = 1", "process: expected tables"],
    ["schema_version = 1\n[[process]]\nlevel = 1", "process: expected an id"],
    ['schema_version = 1\n[paths]\nx = "/etc/x"', 'paths.x: expected a path within the extension, got "/etc/x"'],
    [`${one('path = "x"')}[[process]]\nid = "a"`, "process: expected distinct ids"],
    [one('path = "../x"'), 'a: expected a path within the extension, got "../x"'],
    [one('path = "/usr/bin/x"'), 'a: expected a path within the extension, got "/usr/bin/x"'],
    [one('path = "x/../../y"'), "a: expected a path within the extension"],
    [one(""), "a: expected a path, or a variant with one"],
    [one('path = "x"\nargs = ["${nobody}"]'), 'a: expected a known variable, got "nobody"'],
    [one('path = "x"\nargs = ["${cdh_socket"]'), 'a: expected a known variable, got "cdh_socket"'],
    [one('path = "x"\nargs = [1]'), "a.args: expected a string"],
    [one('path = "x"\ntimeout_secs = "soon"'), "a.timeout_secs: expected a number"],
    [one('path = "x"\nenv = "y"'), "a.env: expected a table"],
    [one('select = "b"\n[process.variants.c]\npath = "x"'), "a: expected a variant c, got b"],
    [`schema_version = 1\n#${"x".repeat(65536)}`, "expected at most 65536 bytes"],
  ])("is refused: %j", (text, message) => {
    expect(() => plan(text)).toThrow(`components manifest: ${message}`);
  });
});
