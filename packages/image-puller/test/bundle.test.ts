import { parseImageConfig } from "oci-client";
import { describe, expect, it } from "vitest";
import { bundleConfig, describeError, PullError } from "../src/index.ts";

function config(document: object, run: object = {}): Record<string, unknown> {
  const rootfs = { type: "layers", diff_ids: [] };
  return bundleConfig(
    parseImageConfig(
      Buffer.from(JSON.stringify({ os: "linux", architecture: "amd64", rootfs, config: run, ...document })),
    ),
  );
}

describe("bundleConfig", () => {
  it("says how the image wants to be run", () => {
    const made = config(
      {},
      { Entrypoint: ["a"], Cmd: ["b", "c"], Env: ["X=1"], WorkingDir: "/w", Volumes: { "/v": {} } },
    );
    expect(made).toMatchObject({
      process: { args: ["a", "b", "c"], env: ["X=1"], cwd: "/w" },
      mounts: [{ destination: "/v", type: "tmpfs", options: ["nosuid", "noexec", "nodev", "relatime", "rw"] }],
    });
    expect(config({})).toMatchObject({ process: { args: [], cwd: "/" }, mounts: [] });
  });

  it("annotates with what the image says of itself; labels win but for the ports", () => {
    const labels = {
      "org.opencontainers.image.author": "label",
      "org.opencontainers.image.exposedPorts": "label",
      own: "x",
    };
    const document = { author: "me", created: "2026", variant: "v2", "os.version": "1", "os.features": ["f"] };
    const made = config(document, { Labels: labels, ExposedPorts: { "80/tcp": {}, "443": {} }, StopSignal: "SIGINT" });
    expect(made["annotations"]).toEqual({
      "org.opencontainers.image.os": "linux",
      "org.opencontainers.image.os.version": "1",
      "org.opencontainers.image.os.features": '["f"]',
      "org.opencontainers.image.architecture": "amd64",
      "org.opencontainers.image.variant": "v2",
      "org.opencontainers.image.author": "label",
      "org.opencontainers.image.created": "2026",
      "org.opencontainers.image.stopSignal": "SIGINT",
      "org.opencontainers.image.exposedPorts": "443,80/tcp",
      own: "x",
    });
  });
});

describe("describeError", () => {
  it("joins the messages of the causes, each once", () => {
    const cause = new Error("inner", { cause: new Error("innermost") });
    expect(describeError(new PullError("pull", "outer", { cause }))).toBe("outer: inner: innermost");
    expect(describeError(new PullError("pull", "outer: inner", { cause }))).toBe("outer: inner: innermost");
    expect(describeError("text")).toBe("text");
    expect(describeError(7)).toBe("unknown failure");
  });

  it("keeps a peer's text on one line and short", () => {
    expect(describeError(new Error("a\r\n\u001b[31mb\u2028c"))).toBe("a [31mb c");
    expect(describeError(new Error("x".repeat(5_000_000))).length).toBeLessThan(5000);
  });

  it("ends with a chain that goes in a circle", () => {
    const error = new Error("a");
    error.cause = new Error("b", { cause: error });
    expect(describeError(error).split(": ").length).toBeLessThan(10);
  });
});
