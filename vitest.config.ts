import { defineConfig } from "vitest/config";

/**
 * Two projects: `unit` needs nothing but Node and runs in parallel; `system` needs root, namespaces and servers, and
 * runs one file at a time because guests, mounts and registries share the machine.
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
          // A bound on hanging, not on speed: the machine may be busy.
          testTimeout: 60_000,
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
    ],
  },
});
