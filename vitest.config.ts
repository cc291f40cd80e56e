import { defineConfig } from "vitest/config";

/** Tests of guests that `make test-guest` runs in virtual machines; all but the first folder run in simulated ones too. */
const IN_QEMU: readonly string[] = [
  "test/qemu/**/*.test.ts",
  "test/guest/{attack-*,bad-input,containers,end-to-end,pulled-image,trace-replay}.test.ts",
];

/** What of it `make test` runs: from an image to a power-off, containers with crun on control groups of version 2. */
const MAIN_PATH: readonly string[] = ["test/qemu/machine.test.ts", "test/guest/{containers,end-to-end}.test.ts"];

/** A project of guests in virtual machines, one at a time. The times are bounds on hanging: emulation may be slow. */
const inQemu = (name: string, include: readonly string[]) => ({
  extends: true as const,
  test: {
    name,
    include: [...include],
    env: { NACRE_GUEST: "qemu" },
    pool: "forks" as const,
    fileParallelism: false,
    maxWorkers: 1,
    testTimeout: 600_000,
    hookTimeout: 600_000,
  },
});

/**
 * Six projects: `unit` needs nothing but Node and runs in parallel; `system` needs root, namespaces and servers, and
 * runs one file at a time because guests, mounts and registries share the machine; `qemu` runs tests of guests in virtual
 * machines, the same files, and `main-path` some of them; `arm64` needs another architecture's compiler and emulator, and `kata` a
 * node's programs, which are not asked of everybody.
 */
export default defineConfig({
  resolve: { conditions: ["source"] },
  ssr: { resolve: { conditions: ["source"], externalConditions: ["source"] } },
  test: {
    execArgv: ["--conditions=source"],
    projects: [
      {
        extends: true,
        test: {
          name: "unit",
          include: ["packages/*/test/**/*.test.ts", "test/conformance/**/*.test.ts"],
          pool: "forks",
          maxWorkers: 2,
          // Bounds on hanging, not on speed: the machine may be busy. Without one a hook has ten seconds.
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
      {
        extends: true,
        test: {
          name: "system",
          include: ["test/{integration,system,guest}/**/*.test.ts"],
          pool: "forks",
          fileParallelism: false,
          maxWorkers: 1,
          testTimeout: 120_000,
          hookTimeout: 180_000,
        },
      },
      inQemu("qemu", IN_QEMU),
      inQemu("main-path", MAIN_PATH),
      {
        extends: true,
        test: {
          name: "kata",
          include: ["test/kata/**/*.test.ts"],
          pool: "forks",
          maxWorkers: 1,
          testTimeout: 120_000,
          hookTimeout: 120_000,
        },
      },
      {
        extends: true,
        test: {
          name: "arm64",
          include: ["test/arm64/**/*.test.ts"],
          pool: "forks",
          maxWorkers: 1,
          testTimeout: 120_000,
          hookTimeout: 120_000,
        },
      },
    ],
  },
});
