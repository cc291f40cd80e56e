import { describe, expect, it } from "vitest";

import { checkServerAddress } from "../src/flavour.ts";
import { parseOptions } from "../src/options.ts";

describe("parseOptions", () => {
  it.each([
    [[], { version: false, config: undefined }],
    [["--version"], { version: true, config: undefined }],
    [["-c", "/a.toml"], { version: false, config: "/a.toml" }],
    [["--config", "/a.toml"], { version: false, config: "/a.toml" }],
    [["--config=/a.toml"], { version: false, config: "/a.toml" }],
  ])("%j", (args, options) => {
    expect(parseOptions(args)).toEqual(options);
  });

  it.each([[["init"]], [["--help"]], [["-c"]], [["--config"]]])("refuses %j", (args) => {
    expect(() => parseOptions(args)).toThrow("usage: kata-agent");
  });
});

describe("checkServerAddress", () => {
  it.each([
    ["devkit", "vsock://-1:1024"],
    ["devkit", "unix:///run/a.sock"],
    ["devkit", "tcp://127.0.0.1:1024"],
    ["kata", "vsock://-1:1024"],
    ["kata", "unix://@abstract"],
  ] as const)("%s listens on %s", (flavour, address) => {
    expect(() => checkServerAddress(address, flavour)).not.toThrow();
  });

  it.each([
    ["kata", "tcp://127.0.0.1:1024"],
    ["devkit", "hvsock:///run/x.sock:1024"],
    ["kata", "nonsense"],
  ] as const)("%s does not listen on %s", (flavour, address) => {
    expect(() => checkServerAddress(address, flavour)).toThrow(/address/);
  });
});
