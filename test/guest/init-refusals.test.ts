import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";

import { type ExtraFile, listGuests, startGuest, type StartGuestOptions, sweep } from "@nacre/cli";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { machineFacts } from "../fixtures/machine-facts.ts";

let stateRoot: string;
beforeEach(() => {
  stateRoot = mkdtempSync("/run/nacre-test-");
});
afterEach(async () => {
  for (const guest of listGuests(stateRoot)) await guest.stop();
  await sweep(stateRoot);
  rmSync(stateRoot, { recursive: true });
});

const VERITY = `root_hash=${"ab".repeat(32)},salt=0011,data_blocks=8,data_block_size=4096,hash_block_size=4096`;

/** A device of the guest, where its init looks in place of the machine's sysfs. */
const device = (path: string, values: Readonly<Record<string, string>>): ExtraFile[] =>
  Object.entries(values).map(([name, content]) => ({ path: `/usr/share/nacre/sys/${path}/${name}`, content }));
const pci = (slot: number, vendor: string, code: string): ExtraFile[] =>
  device(`bus/pci/devices/0000:00:0${slot}.0`, { vendor, class: code });
const disk: readonly ExtraFile[] = [
  ...device("block/vdb", { serial: "extension-gpu\n" }),
  ...device("block/vdb/vdb1", { partition: "1\n" }),
  ...device("block/vdb/vdb2", { partition: "2\n" }),
];
const pins: ExtraFile = {
  path: "/etc/nacre/extensions.json",
  content: JSON.stringify({ schema_version: 1, extensions: { gpu: [VERITY] } }),
};
/** A program in Node, which is all that the guest has. */
const program = (path: string, code: string): ExtraFile => ({
  path,
  content: `#!/usr/bin/node\n${code}\n`,
  mode: 0o755,
});

/** Starts a guest that cannot start; answers with the lines of its log. */
async function refused(options: StartGuestOptions): Promise<readonly string[]> {
  const logFile = join(stateRoot, "log");
  await expect(startGuest({ stateRoot, logFile, ...options })).rejects.toThrow("the guest did not start");
  return readFileSync(logFile, "utf8").trim().split("\n");
}

describe("an init that refuses says why in one line, powers off, and leaves the machine as it was", () => {
  it.for([
    [
      "a number that is none",
      { kernelParameters: ["nvrc.smi.pl=fast"] },
      'nvrc.smi.pl: expected a number of 32 bits, got "fast"',
    ],
    [
      "an option in place of a state",
      { kernelParameters: ["nvrc.smi.srs=-x"] },
      'nvrc.smi.srs: expected a word, got "-x"',
    ],
    [
      "an extension without parameters",
      { files: [...disk, pins] },
      "extension gpu: expected verity parameters for vdb, got none",
    ],
    [
      "parameters without an extension",
      { kernelParameters: [`kata.extension.gpu.verity_params=${VERITY}`], files: [pins] },
      "extension gpu: expected one disk for its verity parameters, got none",
    ],
    [
      "an extension that the base does not pin",
      { kernelParameters: [`kata.extension.gpu.verity_params=${VERITY}`], files: disk },
      `extension gpu: expected a root hash that the base image pins, got ${"ab".repeat(32)}`,
    ],
    [
      "half a fabric",
      { files: [...pci(1, "0x10de", "0x030200"), ...pci(2, "0x10de", "0x068000")] },
      "mode: expected a known topology, got 1 NVSWITCH, 1 GPU, 0 PCI_SW_MNG",
    ],
    [
      "a daemon that dies at once",
      {
        files: [...pci(1, "0x10de", "0x030200"), program("/usr/bin/nvidia-persistenced", "process.exitCode = 7")],
      },
      "/bin/nvidia-persistenced ended with status 7",
    ],
    [
      "an agent that dies at once",
      { files: [program("/usr/lib/nacre/kata-agent.mjs", 'console.error("no such policy"); process.exitCode = 3')] },
      "kata-agent ended with status 3: no such policy",
    ],
    [
      "an agent that is killed",
      { files: [program("/usr/lib/nacre/kata-agent.mjs", "process.kill(process.pid, 'SIGKILL')")] },
      "kata-agent ended with signal SIGKILL",
    ],
  ] as const)("%s", async ([, options, message]) => {
    const before = machineFacts();
    const lines = await refused(options);
    // What the machine itself has run out of meanwhile may follow.
    expect(lines.filter((line) => line.startsWith("NVRC panic: "))).toEqual([
      expect.stringContaining(`NVRC panic: ${message}`),
    ]);
    expect(lines.at(-1)).toBe("NVRC effect powerOff []");
    expect(machineFacts()).toEqual(before);
    expect(readdirSync(join(stateRoot, "guests"))).toEqual([]);
  });

  it("starts where the traps of a command line lead nowhere", async () => {
    const kernelParameters = [
      "NODE_OPTIONS=--require=/x",
      "LD_PRELOAD=/dev/vda",
      "/x.js",
      "--inspect",
      'x="y nvrc.smi.pl=fast kata.extension.gpu.verity_params=z"',
      "--",
      "nvrc.smi.pl=fast",
    ];
    const guest = await startGuest({ stateRoot, kernelParameters });
    const environment = readFileSync(`/proc/${guest.initPid}/environ`, "latin1");
    expect(environment).not.toMatch(/NODE_OPTIONS|LD_PRELOAD/u);
    expect(guest.log()).not.toContain("panic");
  });
});
