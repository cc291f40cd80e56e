import { describe, expect, it } from "vitest";

import { containerDevicesArgv } from "../../src/gpu/container-devices.ts";
import { exporterArgv, hostengineArgv } from "../../src/gpu/dcgm.ts";
import { nvidiaParameters } from "../../src/gpu/driver.ts";
import { ldconfigArgv, loaderConfig } from "../../src/gpu/extension.ts";
import { fabricConfig, fabricManagerArgv } from "../../src/gpu/fabric-manager.ts";
import { setKeys } from "../../src/gpu/key-value-file.ts";
import { persistencedArgv } from "../../src/gpu/persistenced.ts";
import { gpuPath } from "../../src/gpu/ports.ts";
import { mayManageSubnet, portGuid } from "../../src/gpu/port-guid.ts";
import { readyStateArgv, smiArgv } from "../../src/gpu/smi.ts";
import { subnetManagerArgv } from "../../src/gpu/subnet-manager.ts";
import { EXTENSIONS_ROOT } from "../../src/extensions/index.ts";
import { Random } from "../random.ts";

const EXT = "/run/kata-extensions/gpu";

describe("what daemons and helpers are started with", () => {
  it("nvidia-persistenced", () => {
    expect(persistencedArgv("/bin/nvidia-persistenced", true)).toEqual([
      "/bin/nvidia-persistenced",
      "--verbose",
      "--uvm-persistence-mode",
    ]);
    expect(persistencedArgv("/p", false)).toEqual(["/p", "--verbose"]);
  });

  it("nv-hostengine and dcgm-exporter", () => {
    expect(hostengineArgv("/h")).toEqual(["/h", "--service-account", "nvidia-dcgm", "--home-dir", "/tmp"]);
    expect(exporterArgv("/e")).toEqual(["/e", "-k", "-f", "/etc/dcgm-exporter/default-counters.csv"]);
  });

  it("nv-fabricmanager and nvlsm", () => {
    expect(fabricManagerArgv("/f", "/run/fabricmanager.cfg")).toEqual(["/f", "-c", "/run/fabricmanager.cfg"]);
    expect(fabricManagerArgv("/f", "/c", "0x1")).toEqual(["/f", "-c", "/c", "-g", "0x1"]);
    expect(subnetManagerArgv("/n", "/c", "0x1")).toEqual(["/n", "-F", "/c", "-g", "0x1", "-f", "stdout"]);
  });

  it("nvidia-smi", () => {
    expect(smiArgv("/s", "-lgc", 1500)).toEqual(["/s", "-lgc", "1500"]);
    expect(readyStateArgv("/s", "1")).toEqual(["/s", "conf-compute", "-srs", "1"]);
  });

  it("nvidia-ctk, with and without an extension", () => {
    const base = ["/t", "-d", "cdi", "generate", "--output=/var/run/cdi/nvidia.yaml"];
    expect(containerDevicesArgv("/t", "/var/run/cdi/nvidia.yaml")).toEqual(base);
    expect(containerDevicesArgv("/t", "/var/run/cdi/nvidia.yaml", EXT)).toEqual([
      ...base,
      `--driver-root=${EXT}`,
      "--dev-root=/",
      `--nvidia-cdi-hook-path=${EXT}/bin/nvidia-cdi-hook`,
    ]);
  });

  it("ldconfig", () => {
    expect(ldconfigArgv()).toEqual(["/sbin/ldconfig", "-X", "-f", "/run/ld.so.conf", "-C", "/run/ld.so.cache"]);
    const triplet = process.arch === "arm64" ? "aarch64-linux-gnu" : "x86_64-linux-gnu";
    expect(loaderConfig(EXT)).toBe(`include /etc/ld.so.conf.d/*.conf\n${EXT}/usr/lib/${triplet}\n`);
  });

  it("the module nvidia: no fabric for one GPU, Protected PCIe for eight with switches", () => {
    expect(nvidiaParameters({ name: "gpu", gpus: 1 })).toEqual(["NVreg_NvLinkDisable=1"]);
    expect(nvidiaParameters({ name: "gpu", gpus: 2 })).toEqual([]);
    expect(nvidiaParameters({ name: "nvl4", gpus: 8, fabric: 0 })).toEqual([
      "NVreg_RegistryDwords=RmEnableProtectedPcie=0x1",
    ]);
    expect(nvidiaParameters({ name: "nvl5", gpus: 8, fabric: 0 })).toEqual([]);
  });
});

it("the GPU's files lie in the extension where there is one, which is mounted where extensions are", () => {
  expect(gpuPath({ root: "", extension: undefined }, "/bin/nvidia-smi")).toBe("/bin/nvidia-smi");
  expect(gpuPath({ root: "", extension: `${EXTENSIONS_ROOT}/gpu` }, "/bin/nvidia-smi")).toBe(`${EXT}/bin/nvidia-smi`);
});

describe("the fabric manager's configuration", () => {
  const stock = "# stock\nLOG_LEVEL=4\nFABRIC_MODE=9\n  PARTITION_RAIL_POLICY=greedy\nFABRIC_MODE_RESTART=0\n";

  it("is the stock one with two keys set", () => {
    expect(fabricConfig(stock, { mode: 0, railPolicy: "symmetric", topologies: undefined })).toBe(
      "# stock\nLOG_LEVEL=4\nFABRIC_MODE=0\nPARTITION_RAIL_POLICY=symmetric\nFABRIC_MODE_RESTART=0\n",
    );
  });

  it("names the topologies of the extension, and adds what is missing", () => {
    expect(fabricConfig("LOG_LEVEL=4", { mode: 1, railPolicy: "greedy", topologies: "/x" })).toBe(
      "LOG_LEVEL=4\nFABRIC_MODE=1\nPARTITION_RAIL_POLICY=greedy\nTOPOLOGY_FILE_PATH=/x\n",
    );
  });

  it("has each key once and keeps every other line, whatever the file", () => {
    const random = new Random(3);
    const pieces = ["A=1", "B=2", "A", "=", " ", "\n", "#", "é", "AB=3"];
    for (let round = 0; round < 5000; round++) {
      const text = Array.from({ length: random.below(20) }, () => random.pick(pieces)).join("");
      const lines = setKeys(text, { A: "x" }).split("\n");
      expect(lines.filter((line) => line.trim().startsWith("A=")).every((line) => line === "A=x")).toBe(true);
      expect(lines.includes("A=x")).toBe(true);
      const others = text.split("\n").filter((line) => line !== "" && !line.trim().startsWith("A="));
      expect(lines).toEqual(expect.arrayContaining(others));
    }
  });
});

describe("a port", () => {
  it.each([
    ["0x2651e848", true],
    ["2651e848", true],
    ["0x0", true],
    ["0x400", false],
    ["0x2651ec48", false],
    ["", false],
    ["nonsense", false],
    ["0x1ffffffff", false],
    [undefined, false],
  ])("with the capabilities %j may manage the subnet: %s", (mask, expected) => {
    expect(mayManageSubnet(mask)).toBe(expected);
  });

  it.each([
    ["fe80:0000:0000:0000:b83f:d203:0035:1f40", "0xb83fd20300351f40"],
    ["fe80:0000:0000:0000:b83f:d203:0035", undefined],
    ["fe80::b83f:d203:0035:1f40", undefined],
    ["fe80:0000:0000:0000:b83f:d203:0035:1f4g", undefined],
    ["fe80:0000:0000:0000:b83f:d203:0035:1f40:0000", undefined],
    [undefined, undefined],
  ])("with the GID %j has the GUID %j", (gid, expected) => {
    expect(portGuid(gid)).toBe(expected);
  });

  it("never has a GUID that is an option or a path", () => {
    const random = new Random(5);
    const pieces = ["fe80", ":", "0000", "--help", "/", "b83f", "\n", "0035"];
    for (let round = 0; round < 20_000; round++) {
      const gid = Array.from({ length: random.below(18) }, () => random.pick(pieces)).join("");
      expect(portGuid(gid) ?? "0x0123456789abcdef").toMatch(/^0x[0-9a-f]{16}$/u);
    }
  });
});
