import { describe, expect, it } from "vitest";
import { convertExecProcess, convertProcess } from "../../src/container/oci-process.ts";
import { processTree } from "./trees.ts";

const container = convertProcess(
  processTree({
    Capabilities: { Bounding: ["CAP_KILL"] },
    Rlimits: [{ Type: "RLIMIT_NOFILE", Hard: "20", Soft: "10" }],
  }),
);

describe("convertExecProcess", () => {
  it("takes the container's capabilities and limits where it has none of its own", () => {
    const process = convertExecProcess(processTree({}), container);
    expect(process.capabilities.bounding).toEqual(["CAP_KILL"]);
    expect(process.rlimits).toEqual([{ type: "RLIMIT_NOFILE", hard: 20n, soft: 10n }]);
  });

  it("keeps its own capabilities, never its own limits", () => {
    const tree = processTree({
      Capabilities: { Bounding: [] },
      Rlimits: [{ Type: "RLIMIT_NOFILE", Hard: "99", Soft: "99" }],
    });
    const process = convertExecProcess(tree, container);
    expect(process.capabilities.bounding).toEqual([]);
    expect(process.rlimits).toEqual([{ type: "RLIMIT_NOFILE", hard: 20n, soft: 10n }]);
  });

  it("still refuses names that mean nothing", () => {
    expect(() => convertExecProcess(processTree({ Rlimits: [{ Type: "X" }] }), container)).toThrow(
      "unknown resource limit X",
    );
    expect(() => convertExecProcess(processTree({ Capabilities: { Ambient: ["CAP_X"] } }), container)).toThrow(
      "unknown capability CAP_X",
    );
  });
});
