import { describe, expect, it } from "vitest";

import {
  type AgentConfig,
  applyEnvironment,
  applyKernelParameters,
  applyToml,
  type ConfigSources,
  defaultConfig,
  loadConfig,
  runtimeBinary,
  parseBool,
  parseLogLevel,
  parsePositive,
} from "../src/config.ts";

describe("parseBool", () => {
  it.each([
    [undefined, true],
    ["true", true],
    ["false", false],
    ["1", true],
    ["0", false],
    ["00", false],
    ["-1", true],
    ["+7", true],
    ["2147483648", true],
    ["", false],
    ["True", false],
    ["yes", false],
    ["1x", false],
    [" 1", false],
    ["1.0", false],
    ["0x1", false],
  ])("%j is %s", (text, expected) => {
    expect(parseBool(text)).toBe(expected);
  });
});

describe("parsePositive", () => {
  it.each([
    ["1", 1],
    ["+30", 30],
    ["2147483647", 2147483647],
    ["0", undefined],
    ["-5", undefined],
  ])("%j gives %s", (text, expected) => {
    expect(parsePositive("agent.x", text)).toBe(expected);
  });

  it.each([undefined, "", "ten", "1.5", "1s", "2147483648", "99999999999999999999", "1 ", "١"])(
    "%j ends the start",
    (text) => {
      expect(() => parsePositive("agent.x", text)).toThrow(/^agent\.x: expected/);
    },
  );
});

describe("parseLogLevel", () => {
  it.each([
    ["fatal", "critical"],
    ["panic", "critical"],
    ["critical", "critical"],
    ["error", "error"],
    ["warn", "warning"],
    ["warning", "warning"],
    ["info", "info"],
    ["debug", "debug"],
    ["trace", "trace"],
  ])("%s", (text, level) => {
    expect(parseLogLevel(text)).toBe(level);
  });

  it.each(["", "INFO", "verbose", "constructor", "info "])("%j is refused", (text) => {
    expect(() => parseLogLevel(text)).toThrow(/log level: expected one of/);
  });
});

describe("the kernel command line", () => {
  const table: ReadonlyArray<[string, string | undefined, Partial<AgentConfig>]> = [
    ["agent.log", "debug", { logLevel: "debug" }],
    ["agent.log", "warn", { logLevel: "warning" }],
    ["agent.devmode", undefined, { devMode: true, logLevel: "debug" }],
    ["agent.devmode", "0", { devMode: false }],
    ["agent.server_addr", "unix:///run/x.sock", { serverAddr: "unix:///run/x.sock" }],
    ["agent.log_vport", "1025", { logVport: 1025 }],
    ["agent.log_vport", "0", {}],
    ["agent.log_vport", "-1", {}],
    ["agent.image_pull_timeout", "60", { imagePullTimeoutMs: 60_000 }],
    ["agent.image_pull_timeout", "-60", {}],
    ["agent.hotplug_timeout", "7", { hotplugTimeoutMs: 7000 }],
    ["agent.debug_console", undefined, { debugConsole: true }],
    ["agent.debug_console_vport", "1026", { debugConsoleVport: 1026 }],
    ["agent.launch_process_timeout", "30", { launchProcessTimeoutMs: 30_000 }],
    ["agent.guest_components_procs", "none", { guestComponentsProcs: "none" }],
    ["agent.guest_components_rest_api", "attestation", { guestComponentsRestApi: "attestation" }],
    ["agent.guest_components_rest_api", "all", { guestComponentsRestApi: "all" }],
    ["agent.guest_components_procs", "attestation-agent", { guestComponentsProcs: "attestation-agent" }],
    ["agent.guest_components_procs", "confidential-data-hub", { guestComponentsProcs: "confidential-data-hub" }],
    ["agent.logx", "debug", {}],
    ["xagent.log", "debug", {}],
    ["agent.policy_file", "/tmp/evil.rego", {}],
    ["agent.https_proxy", "http://proxy.test:81", {}],
    ["agent.container_pipe_size", "4096", {}],
    ["agent.cdh_api_timeout", "600", {}],
    ["quiet", undefined, {}],
  ];

  it.each(table)("%s=%s", (key, value, expected) => {
    expect(applyKernelParameters(defaultConfig(), [{ key, value }])).toEqual({ ...defaultConfig(), ...expected });
  });

  it("lets the last one count, and an explicit level win over devmode", () => {
    const config = applyKernelParameters(defaultConfig(), [
      { key: "agent.log", value: "error" },
      { key: "agent.log", value: "warning" },
      { key: "agent.devmode" },
    ]);
    expect(config).toMatchObject({ logLevel: "warning", devMode: true });
  });

  it.each([
    ["agent.log", "loud"],
    ["agent.log", undefined],
    ["agent.server_addr", undefined],
    ["agent.image_pull_timeout", "soon"],
    ["agent.log_vport", "port"],
    ["agent.guest_components_procs", "all"],
    ["agent.guest_components_rest_api", "none"],
  ])("refuses %s=%s", (key, value) => {
    expect(() => applyKernelParameters(defaultConfig(), [{ key, value }])).toThrow(/expected/);
  });
});

describe("TOML", () => {
  it("reads upstream's names, durations as tables", () => {
    const { config, unknownKeys } = applyToml(
      defaultConfig(),
      [
        'log_level = "trace"',
        'server_addr = "unix:///x"',
        "dev_mode = true",
        "log_vport = 1025",
        'guest_components_procs = "none"',
        'guest_components_rest_api = "all"',
        'policy_file = "/p.rego"',
        'oci_runtime = "/usr/bin/crun"',
        "image_pull_timeout = { secs = 2, nanos = 1 }",
        "launch_process_timeout = { secs = 3, nanos = 0 }",
        "hotplug_timeout = { secs = 1, nanos = 0 }",
        "debug_console = true",
        "debug_console_vport = 1026",
        "cdi_timeout = { secs = 1, nanos = 0 }",
        "[endpoints]",
        'allowed = ["x"]',
      ].join("\n"),
    );
    expect(config).toEqual({
      logLevel: "trace",
      serverAddr: "unix:///x",
      devMode: true,
      logVport: 1025,
      guestComponentsProcs: "none",
      guestComponentsRestApi: "all",
      policyFile: "/p.rego",
      unsealFailure: "refuse",
      ociRuntime: "/usr/bin/crun",
      debugConsole: true,
      debugConsoleVport: 1026,
      hotplugTimeoutMs: 1000,
      imagePullTimeoutMs: 2001,
      launchProcessTimeoutMs: 3000,
    });
    expect(unknownKeys).toEqual(["cdi_timeout", "endpoints"]);
  });

  it.each([
    ["log_level = 3"],
    ['dev_mode = "true"'],
    ["log_vport = -1"],
    ["log_vport = 4294967296"],
    ["log_vport = 1.5"],
    ['image_pull_timeout = "1s"'],
    ["image_pull_timeout = 60"],
    ["image_pull_timeout = { secs = 1 }"],
    ["image_pull_timeout = { secs = 1, nanos = 1000000000 }"],
    ["server_addr"],
    ['oci_runtime = "runc"'],
    ["server_addr = "],
  ])("refuses %s", (text) => {
    expect(() => applyToml(defaultConfig(), text)).toThrow(/expected|not TOML/u);
  });
});

describe("precedence", () => {
  const sources = (over: Partial<ConfigSources>): ConfigSources => ({
    kernelParameters: [],
    env: {},
    trustEnvironment: true,
    readFile: (path) => {
      if (path === "/a.toml") return 'server_addr = "unix:///file"\nlog_level = "error"';
      throw new Error(`no ${path}`);
    },
    ...over,
  });
  const env = { KATA_AGENT_SERVER_ADDR: "unix:///env", KATA_AGENT_POLICY_FILE: "/env.rego" };

  it("puts the environment over the command line", () => {
    const { config } = loadConfig(
      sources({ env, kernelParameters: [{ key: "agent.server_addr", value: "unix:///cmdline" }] }),
    );
    expect(config).toMatchObject({ serverAddr: "unix:///env", policyFile: "/env.rego" });
  });

  it("puts the environment over --config, which hides the command line", () => {
    const { config } = loadConfig(
      sources({ file: "/a.toml", env, kernelParameters: [{ key: "agent.log", value: "trace" }] }),
    );
    expect(config).toMatchObject({ serverAddr: "unix:///env", logLevel: "error" });
  });

  it("takes agent.config_file alone, without command line or environment", () => {
    const { config } = loadConfig(
      sources({
        env,
        kernelParameters: [
          { key: "agent.config_file", value: "/a.toml" },
          { key: "agent.log", value: "trace" },
        ],
      }),
    );
    expect(config).toMatchObject({
      serverAddr: "unix:///file",
      logLevel: "error",
      policyFile: defaultConfig().policyFile,
    });
  });

  it("does not take the environment of PID 1, which is the kernel command line in another form", () => {
    expect(loadConfig(sources({ env, trustEnvironment: false })).config).toEqual(defaultConfig());
  });

  it("fails when the named file cannot be read", () => {
    expect(() => loadConfig(sources({ file: "/absent" }))).toThrow("no /absent");
  });

  it("refuses a bad level in the environment", () => {
    expect(() => applyEnvironment(defaultConfig(), { KATA_AGENT_LOG_LEVEL: "loud" })).toThrow(/log level/);
  });
});

describe("runtimeBinary", () => {
  const [RUNC, CRUN] = ["/usr/sbin/runc", "/usr/bin/crun"];
  const there =
    (...paths: readonly string[]) =>
    (path: string): boolean =>
      paths.includes(path);

  it.each([
    [2, [RUNC, CRUN], CRUN],
    [2, [RUNC], RUNC],
    [1, [RUNC, CRUN], RUNC],
    [1, [CRUN], CRUN],
  ] as const)("with control groups of version %i and %j is %s", (version, paths, chosen) => {
    expect(runtimeBinary(defaultConfig(), version, there(...paths))).toBe(chosen);
  });

  it("is what was configured", () => {
    const config = { ...defaultConfig(), ociRuntime: "/opt/youki" };
    expect(runtimeBinary(config, 2, there(CRUN))).toBe("/opt/youki");
  });

  it("is refused where there is none", () => {
    expect(() => runtimeBinary(defaultConfig(), 2, there())).toThrow("OCI runtime: expected one, got nothing");
  });
});
