import { chmodSync, mkdirSync, mkdtempDisposableSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

import { linuxSyscalls, recordingEffects } from "@nacre/kata-sys-util";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { Daemons } from "../../src/daemons.ts";
import { setUpMode } from "../../src/gpu/index.ts";
import { startUntil } from "../../src/gpu/marker.ts";
import { modeOf } from "../../src/gpu/mode.ts";
import type { GpuPorts } from "../../src/gpu/ports.ts";
import { readTopology } from "../../src/gpu/topology.ts";
import { helperRunner } from "../../src/helper.ts";
import { Log } from "../../src/log.ts";
import { parseNvrcOptions } from "../../src/options.ts";
import { Syslog } from "../../src/syslog.ts";
import { type FakeFunction, GPU, NVSWITCH, plugIn, plugInPort, SWITCH_MANAGER, times } from "./fake-sysfs.ts";

const STOCK = "LOG_LEVEL=4\nFABRIC_MODE=0\nTOPOLOGY_FILE_PATH=/usr/share/nvidia/nvswitch\n";
const GUID = "0xb83fd20300351f40";

let folder: ReturnType<typeof mkdtempDisposableSync>;
let syslog: Syslog;
let calls: string[];
let failed: Promise<unknown>;
let fail: (error: unknown) => void;

beforeEach(() => {
  folder = mkdtempDisposableSync(join(tmpdir(), "gpu-"));
  ({ promise: failed, resolve: fail } = Promise.withResolvers<unknown>());
  calls = [];
  for (const name of ["run", "dev", "sys"]) mkdirSync(join(folder.path, name));
  const paths = { socket: at("/dev/log"), file: at("/run/syslog.log"), queueLength: at("/run/qlen") };
  syslog = Syslog.listen(linuxSyscalls(), new Log(() => {}, "off"), paths);
});
afterEach(() => {
  syslog[Symbol.dispose]();
  folder.remove();
});

function at(path: string): string {
  return folder.path + path;
}

/** A program of the GPU's user space; `says` is what it sends to syslog. */
function program(path: string, says?: string, status = 0): void {
  const send =
    says === undefined
      ? ""
      : `use Socket; socket(my $s, AF_UNIX, SOCK_DGRAM, 0); connect($s, sockaddr_un("${at("/dev/log")}")) or die;
         send($s, "<30>x: ${says}", 0);`;
  mkdirSync(dirname(at(path)), { recursive: true });
  writeFileSync(at(path), `#!/usr/bin/perl\n${send}\nexit ${status};\n`);
  chmodSync(at(path), 0o755);
}

/** The whole of the GPU's user space, at the image's root or in an extension. */
function installPrograms(base: string): void {
  program(`${base}/bin/nvidia-persistenced`, "Local RPC services initialized");
  program(`${base}/bin/nv-fabricmanager`, "FM starting NvLink Inband");
  for (const path of [
    "/sbin/nvlsm",
    "/bin/nv-hostengine",
    "/bin/dcgm-exporter",
    "/bin/nvidia-ctk",
    "/bin/nvidia-smi",
  ]) {
    program(base + path);
  }
  mkdirSync(at(`${base}/usr/share/nvidia/nvswitch`), { recursive: true });
  writeFileSync(at(`${base}/usr/share/nvidia/nvswitch/fabricmanager.cfg`), STOCK);
}

/** Ports whose helpers and daemons are run, and told in the order in which they were started. */
function ports(commandLine: string, extension: string | undefined): GpuPorts {
  const log = new Log(() => {}, "off");
  const daemons = new Daemons({ log, output: () => "ignore", fail });
  const run = helperRunner(log);
  const told = (argv: readonly string[]): void => void calls.push(argv.join(" ").replaceAll(folder.path, ""));
  return {
    effects: recordingEffects(({ name, args }) => calls.push([name, ...args.flat()].filter(Boolean).join(" "))),
    log,
    options: parseNvrcOptions(commandLine),
    run: async (argv) => {
      told(argv);
      await run(argv);
    },
    start: async (argv) => {
      told(argv);
      await daemons.start(argv);
    },
    waitForSyslog: syslog.waitFor,
    sysfs: at("/sys"),
    extension,
    root: folder.path,
  };
}

/** What is done for a guest with these devices. */
async function setUp(functions: readonly FakeFunction[], commandLine = "", extension?: string): Promise<string[]> {
  plugIn(at("/sys"), functions);
  installPrograms(extension ?? "");
  await setUpMode(modeOf(readTopology(at("/sys"))), ports(commandLine, extension));
  return calls;
}

describe("a guest", () => {
  it("without GPUs starts nothing", async () => {
    expect(await setUp([], "nvrc.dcgm=on nvrc.smi.srs=1")).toEqual([]);
  });

  it("with one GPU", async () => {
    expect(await setUp([GPU])).toEqual([
      "loadModule nvidia NVreg_NvLinkDisable=1",
      "loadModule nvidia-uvm",
      "/bin/nvidia-persistenced --verbose --uvm-persistence-mode",
      "/bin/nvidia-ctk -d cdi generate --output=/var/run/cdi/nvidia.yaml",
    ]);
    expect(statSync(at("/var/run/nvidia-persistenced")).isDirectory()).toBe(true);
  });

  it("with two GPUs, everything that the command line can ask for, in its order", async () => {
    const line =
      "nvrc.uvm.persistence.mode=off nvrc.dcgm=on nvrc.smi.srs=1 nvrc.smi.lgc=1500 nvrc.smi.lmc=5001 nvrc.smi.pl=300";
    expect(await setUp([GPU, GPU], line)).toEqual([
      "loadModule nvidia",
      "loadModule nvidia-uvm",
      "/bin/nvidia-persistenced --verbose",
      "/bin/nvidia-smi -lmc 5001",
      "/bin/nvidia-smi -lgc 1500",
      "/bin/nvidia-smi -pl 300",
      "/bin/nv-hostengine --service-account nvidia-dcgm --home-dir /tmp",
      "/bin/dcgm-exporter -k -f /etc/dcgm-exporter/default-counters.csv",
      "/bin/nvidia-ctk -d cdi generate --output=/var/run/cdi/nvidia.yaml",
      "/bin/nvidia-smi conf-compute -srs 1",
    ]);
  });

  it("with eight GPUs and four switches, in Protected PCIe mode: the fabric before everything else", async () => {
    expect(await setUp([...times(8, GPU), ...times(4, NVSWITCH)], "nvrc.smi.srs=1")).toEqual([
      "loadModule nvidia NVreg_RegistryDwords=RmEnableProtectedPcie=0x1",
      "loadModule nvidia-uvm",
      "/bin/nv-fabricmanager -c /run/fabricmanager.cfg",
      "/bin/nvidia-persistenced --verbose --uvm-persistence-mode",
      "/bin/nvidia-ctk -d cdi generate --output=/var/run/cdi/nvidia.yaml",
      "/bin/nvidia-smi conf-compute -srs 1",
    ]);
    expect(readFileSync(at("/run/fabricmanager.cfg"), "utf8")).toBe(`${STOCK}PARTITION_RAIL_POLICY=greedy\n`);
    expect((statSync(at("/run/fabricmanager.cfg")).mode & 0o777).toString(8)).toBe("400");
  });

  it("with eight GPUs and four bridges to switches of NVLink 5", async () => {
    plugInPort(at("/sys"), "mlx5_0", "0x2651ec48", "fe80:0000:0000:0000:0000:0000:0000:0001");
    plugInPort(at("/sys"), "mlx5_1", "0x2651e848", "fe80:0000:0000:0000:b83f:d203:0035:1f40");
    expect(await setUp([...times(8, GPU), ...times(4, SWITCH_MANAGER)])).toEqual([
      "loadModule nvidia",
      "loadModule nvidia-uvm",
      "loadModule ib_umad",
      "loadModule mlx5_ib",
      `/sbin/nvlsm -F /usr/share/nvidia/nvlsm/nvlsm.conf -g ${GUID} -f stdout`,
      `/bin/nv-fabricmanager -c /run/fabricmanager.cfg -g ${GUID}`,
      "/bin/nvidia-persistenced --verbose --uvm-persistence-mode",
      "/bin/nvidia-ctk -d cdi generate --output=/var/run/cdi/nvidia.yaml",
    ]);
    expect(readFileSync(at("/run/fabricmanager.cfg"), "utf8")).toBe(`${STOCK}PARTITION_RAIL_POLICY=symmetric\n`);
  });

  it("that serves switches of NVLink 4 to others", async () => {
    expect(await setUp(times(4, NVSWITCH), "nvrc.smi.srs=1 nvrc.dcgm=on")).toEqual([
      "loadModule nvidia",
      "/bin/nv-fabricmanager -c /run/fabricmanager.cfg",
    ]);
    expect(readFileSync(at("/run/fabricmanager.cfg"), "utf8")).toContain("FABRIC_MODE=1\n");
  });

  it("that serves switches of NVLink 5 to others", async () => {
    plugInPort(at("/sys"), "mlx5_0", "0x2651e848", "fe80:0000:0000:0000:b83f:d203:0035:1f40");
    expect(await setUp(times(4, SWITCH_MANAGER))).toEqual([
      "loadModule ib_umad",
      "loadModule mlx5_ib",
      `/sbin/nvlsm -F /usr/share/nvidia/nvlsm/nvlsm.conf -g ${GUID} -f stdout`,
      `/bin/nv-fabricmanager -c /run/fabricmanager.cfg -g ${GUID}`,
    ]);
  });

  it("with an extension has everything there, its own modules and topologies too", async () => {
    const ext = "/run/kata-extensions/gpu";
    expect(await setUp([...times(8, GPU), ...times(4, NVSWITCH)], "nvrc.smi.pl=300", ext)).toEqual([
      `loadModule nvidia NVreg_RegistryDwords=RmEnableProtectedPcie=0x1 ${ext}`,
      `loadModule nvidia-uvm ${ext}`,
      `${ext}/bin/nv-fabricmanager -c /run/fabricmanager.cfg`,
      `${ext}/bin/nvidia-persistenced --verbose --uvm-persistence-mode`,
      `${ext}/bin/nvidia-smi -pl 300`,
      `${ext}/bin/nvidia-ctk -d cdi generate --output=/var/run/cdi/nvidia.yaml --driver-root=${ext} --dev-root=/ ` +
        `--nvidia-cdi-hook-path=${ext}/bin/nvidia-cdi-hook`,
    ]);
    expect(readFileSync(at("/run/fabricmanager.cfg"), "utf8")).toContain(
      `TOPOLOGY_FILE_PATH=${at(ext)}/usr/share/nvidia/nvswitch\n`,
    );
  });

  it("without a port that may manage the subnet ends", async () => {
    plugInPort(at("/sys"), "mlx5_0", "0x400", "fe80:0000:0000:0000:b83f:d203:0035:1f40");
    await expect(setUp(times(4, SWITCH_MANAGER))).rejects.toThrow("expected a port with a subnet manager, got mlx5_0");
  });

  it("without InfiniBand devices ends", async () => {
    await expect(setUp(times(4, SWITCH_MANAGER))).rejects.toThrow("class/infiniband: expected devices of mlx5_ib");
  });

  it("whose helper fails ends, and names it", async () => {
    plugIn(at("/sys"), [GPU]);
    installPrograms("");
    program("/bin/nvidia-smi", undefined, 9);
    const set = setUpMode(modeOf(readTopology(at("/sys"))), ports("nvrc.smi.srs=1", undefined));
    await expect(set).rejects.toThrow("/bin/nvidia-smi: expected status 0, got status 9");
  });

  it("whose driver cannot be loaded ends, and names it", async () => {
    plugIn(at("/sys"), [GPU]);
    const refusing = ports("", undefined);
    const loadModule = (): Promise<void> => Promise.reject(new Error("Key was rejected by service"));
    const set = setUpMode(modeOf(readTopology(at("/sys"))), {
      ...refusing,
      effects: { ...refusing.effects, loadModule },
    });
    await expect(set).rejects.toThrow("modprobe nvidia NVreg_NvLinkDisable=1");
  });
});

describe("a daemon", () => {
  it("that dies at once ends the guest", async () => {
    program("/bin/nvidia-persistenced", undefined, 1);
    const never = startUntil(ports("", undefined), [at("/bin/nvidia-persistenced")], "Local RPC", 60_000);
    expect(await Promise.race([failed, never])).toMatchObject({
      code: "daemon",
      message: `${at("/bin/nvidia-persistenced")} ended with status 1`,
    });
    program("/bin/other", "Local RPC");
    await helperRunner(new Log(() => {}, "off"))([at("/bin/other")]);
    await never;
  });

  it("that never says that it is ready ends the guest, and is named", async () => {
    program("/bin/nvidia-persistenced", "something else");
    await expect(startUntil(ports("", undefined), [at("/bin/nvidia-persistenced")], "Local RPC", 50)).rejects.toThrow(
      `${at("/bin/nvidia-persistenced")}: expected "Local RPC" in syslog within 50 ms, got nothing`,
    );
  });
});
