import { parse } from "smol-toml";
import { describe, expect, it } from "vitest";

import { containerdSetup, dropInText, handlerTables, parseContainerdVersion } from "../../src/kata/containerd.ts";

const setup = (config: string | undefined, version: string) => containerdSetup(config, parseContainerdVersion(version));

describe("parseContainerdVersion", () => {
  it.each([
    ["containerd github.com/containerd/containerd/v2 v2.1.4 75cb2b7193e4e490e9fbdc236c0e811ccaba3376\n", 2, 1],
    ["containerd github.com/containerd/containerd 1.6.20~ds1 1.6.20~ds1-1+deb12u3\n", 1, 6],
    ["containerd containerd.io 1.7.27 05044ec0a9a75232cad458027ca83437aae3f4da\n", 1, 7],
    ["2.2", 2, 2],
    ["v3.0.0-rc.1", 3, 0],
  ])("reads %j", (text, major, minor) => {
    expect(parseContainerdVersion(text)).toEqual({ major, minor });
  });

  it.each(["", "containerd", "2", "two.one", "0.2"])("refuses %j", (text) => {
    expect(() => parseContainerdVersion(text)).toThrow("containerd's version: expected one like 2.1");
  });
});

describe("containerdSetup", () => {
  it("knows whether the folder of drop-ins is read", () => {
    const imports = 'imports = ["/etc/containerd/conf.d/*.toml"]\n';
    expect(setup(undefined, "1.7")).toEqual({ major: 1, schema: 2, imports: false });
    expect(setup(undefined, "2.1")).toEqual({ major: 2, schema: 3, imports: false });
    expect(setup(undefined, "2.2")).toEqual({ major: 2, schema: 3, imports: true });
    expect(setup("version = 3\n", "2.1").imports).toBe(false);
    expect(setup("version = 3\n", "2.2").imports).toBe(true);
    expect(setup(`${imports}version = 3\n`, "2.0").imports).toBe(true);
    expect(setup("imports = []\nversion = 3\n", "2.2").imports).toBe(false);
  });

  it("refuses a file that it does not understand", () => {
    expect(() => setup("version = ", "2.1")).toThrow("/etc/containerd/config.toml does not parse");
    expect(() => setup("", "1.7")).toThrow("expected version 2 or later, got 1");
    expect(() => setup('version = "2"', "1.7")).toThrow('got "2"');
  });
});

describe("the tables of a handler", () => {
  it.each([
    [2, "io.containerd.grpc.v1.cri", 2],
    [3, "io.containerd.cri.v1.runtime", 3],
    [4, "io.containerd.cri.v1.runtime", 3],
  ])("suit a configuration of version %i", (schema, plugin, version) => {
    const containerd = { major: 2, schema, imports: true };
    const tables = handlerTables("remote", containerd, "/etc/kata/c.toml", "/opt/kata/bin/shim");
    expect(parse(dropInText(tables, containerd))).toEqual({
      version,
      plugins: {
        [plugin]: {
          containerd: {
            runtimes: {
              "kata-nacre-remote": {
                runtime_type: "io.containerd.kata-nacre-remote.v2",
                runtime_path: "/opt/kata/bin/shim",
                privileged_without_host_devices: true,
                pod_annotations: ["io.katacontainers.*"],
                container_annotations: ["io.kubernetes.container.terminationMessage*"],
                options: { ConfigPath: "/etc/kata/c.toml" },
              },
            },
          },
        },
      },
    });
  });
});
