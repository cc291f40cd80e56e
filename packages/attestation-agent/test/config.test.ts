import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { parseKernelCommandLine } from "@nacre/protocols";
import { componentLog } from "@nacre/protocols";
import { afterAll, describe, expect, it } from "vitest";

import {
  AgentError,
  configFromParams,
  lastWords,
  loadConfig,
  logLevel,
  parseConfig,
  parseOptions,
  pinnedTee,
} from "../src/index.ts";
import { vectors } from "../../../test/setup/data.ts";

const folder = mkdtempSync(join(tmpdir(), "nacre-aa-config-"));
afterAll(() => rmSync(folder, { recursive: true }));

function file(name: string, content: string): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

const sources = { env: {}, kernel: parseKernelCommandLine(""), flavour: "kata" } as const;

describe("a configuration", () => {
  it("may be empty", () => {
    expect(parseConfig({})).toEqual({
      config: { eventLog: { enabled: false, initPcr: 17 }, logLevel: "info" },
      unknownKeys: [],
    });
  });

  it("says what is known, and what is not is named", () => {
    const { config, unknownKeys } = parseConfig({
      token_configs: {
        kbs: { url: "https://kbs:8080/", cert: "PEM", tee_key_algorithm: "RSA-OAEP-256", pin_cert: true, x: 1 },
        coco_as: { url: "http://as" },
        other: {},
      },
      eventlog_config: { init_pcr: 9, enable_eventlog: true },
      log: { level: "debug" },
      zz: 1,
    });
    expect(config).toEqual({
      kbs: {
        url: "https://kbs:8080/",
        cert: "PEM",
        teeKeyAlgorithm: "RSA-OAEP-256",
        pinCert: true,
        cacheToken: true,
      },
      cocoAs: { url: "http://as" },
      eventLog: { enabled: true, initPcr: 9 },
      logLevel: "debug",
    });
    expect(unknownKeys.toSorted()).toEqual(["token_configs.kbs.x", "token_configs.other", "zz"]);
  });

  it.each([
    [[], "configuration: expected a table"],
    [{ token_configs: { kbs: {} } }, "token_configs.kbs.url: expected http"],
    [{ token_configs: { kbs: { url: "ftp://x" } } }, "token_configs.kbs.url: expected http"],
    [
      { token_configs: { kbs: { url: "http://x", tee_key_algorithm: "ML-KEM-768+A192KW" } } },
      "tee_key_algorithm: expected one of",
    ],
    [{ token_configs: { kbs: { url: "http://x", cache_token: "yes" } } }, "cache_token: expected true or false"],
    [{ token_configs: { kbs: { url: "http://x", cert: 1 } } }, "cert: expected PEM"],
    [{ eventlog_config: { init_pcr: 24 } }, "init_pcr: expected 0 to 23"],
    [{ log: { level: "loud" } }, "log.level: expected one of"],
  ])("is not %j", (tree, message) => {
    expect(() => parseConfig(tree)).toThrow(message);
  });

  it("is in the format that its name says", async () => {
    const kbs = { kbs: { url: "http://x" } };
    const toml = file("a.toml", '[token_configs.kbs]\nurl = "http://x"\n');
    const json = file("a.json", JSON.stringify({ token_configs: kbs }));
    for (const path of [toml, json]) expect((await loadConfig({ ...sources, file: path })).config).toMatchObject(kbs);
    const conf = file("aa.conf", "");
    await expect(loadConfig({ ...sources, file: conf })).rejects.toThrow(
      `configuration file "${conf}" is not of a supported file format`,
    );
    await expect(loadConfig({ ...sources, file: "/none.toml" })).rejects.toThrow(
      'configuration file "/none.toml" not found',
    );
    await expect(loadConfig({ ...sources, file: file("bad.toml", "secret") })).rejects.toThrow(/is not TOML$/u);
  });

  it("comes from parameters where there is no file", async () => {
    const kernel = parseKernelCommandLine("agent.aa_kbc_params=cc_kbc::http://kernel:8080");
    const url = async (options: object): Promise<string | undefined> =>
      (await loadConfig({ ...sources, file: undefined, kernel, ...options })).config.kbs?.url;
    expect(await url({})).toBe("http://kernel:8080");
    expect(await url({ env: { AA_KBC_PARAMS: "cc_kbc::http://env" } })).toBe("http://env");
    expect(await url({ env: { AA_KBC_PARAMS: "offline_fs_kbc::null" } })).toBeUndefined();
    // The command line is the host's.
    expect(await url({ flavour: "strict" })).toBeUndefined();
    expect(await url({ file: file("empty.toml", "") })).toBeUndefined();
  });

  it.each(["", "cc_kbc", "cc_kbc::a::b", "cc_kbc::x"])("does not come from %j", (params) => {
    expect(() => configFromParams(params)).toThrow(AgentError);
  });
});

describe("the command line", () => {
  it("has upstream's options, and one of ours for developers", () => {
    const args = ["-a", "unix:///s", "--config-file=/c.toml", "--initdata-digest", "AAAA", "-t", "/i.toml"];
    expect(parseOptions(args, "kata")).toEqual({
      version: false,
      socket: "unix:///s",
      config: "/c.toml",
      initdataDigest: "AAAA",
      initdataToml: "/i.toml",
    });
    expect(parseOptions(["--grpc-address", "127.0.0.1:50002"], "devkit").grpcAddress).toBe("127.0.0.1:50002");
    expect(() => parseOptions(["--grpc-address", "127.0.0.1:50002"], "kata")).toThrow("unexpected argument");
    expect(parseOptions([], "strict").socket).toBe(
      "unix:///run/confidential-containers/attestation-agent/attestation-agent.sock",
    );
    expect(() => parseOptions(["-c"], "kata")).toThrow("-c: expected a value");
    expect(() => parseOptions(["--constructor=1"], "kata")).toThrow("unexpected argument");
  });

  it("ends as upstream's agent does where the socket has no scheme", () => {
    let said = "";
    try {
      parseOptions(["--attestation_sock", "/s"], "kata");
    } catch (error) {
      said = lastWords(error);
    }
    expect(said).toBe(
      "Error: clean previous attestation socket file\n\nCaused by:\n    socket address scheme is not expected\n",
    );
  });
});

describe("an image", () => {
  it("may name its TEE", () => {
    expect(pinnedTee(join(folder, "absent"))).toBeUndefined();
    expect(pinnedTee(file("tee", "snp\n"))).toBe("snp");
    expect(() => pinnedTee(file("tee", "snpp"))).toThrow("expected the name of a TEE");
  });
});

describe("the log", () => {
  it("takes its level from the environment first", () => {
    expect(logLevel(undefined, "warn")).toBe("warn");
    expect(logLevel("DEBUG", "warn")).toBe("debug");
    expect(logLevel("attester=trace,error", "warn")).toBe("error");
    expect(logLevel("attester=trace", "warn")).toBe("warn");
  });

  it("is a line a record", () => {
    const lines: string[] = [];
    componentLog("attestation-agent", "info", (line) => void lines.push(line))("info", "a\nb\u001b[0m");
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(/ INFO attestation-agent\] a\\nb\\u001b\[0m\n$/u);
  });
});

const example = vectors("attestation/aa.config.example.toml");
if (example !== undefined) {
  it("upstream's example is a configuration, and all of it is known", async () => {
    const path = join(folder, "example.toml");
    copyFileSync(example, path);
    const { config, unknownKeys } = await loadConfig({ ...sources, file: path });
    expect(unknownKeys).toEqual([]);
    expect(config).toEqual({
      kbs: {
        url: "https://127.0.0.1:8080",
        cert: expect.stringMatching(/^-----BEGIN CERTIFICATE-----\n[\s\S]+-----END CERTIFICATE-----\n$/u) as string,
        teeKeyAlgorithm: "ECDH-ES+A256KW-P256",
        pinCert: false,
        cacheToken: true,
      },
      cocoAs: { url: "http://127.0.0.1:8000" },
      eventLog: { enabled: false, initPcr: 17 },
      logLevel: "info",
    });
  });
}
