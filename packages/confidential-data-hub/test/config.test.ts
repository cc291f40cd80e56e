import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, describe, expect, it } from "vitest";

import {
  configFromKernel,
  ConfigError,
  CREDENTIALS_ROOT,
  DEFAULT_AGENT_SOCKET,
  DEFAULT_SOCKET,
  DEFAULT_WORK_DIR,
  parseConfig,
  SIGNING_KEYS_ROOT,
} from "../src/index.ts";
import { filePath } from "../src/config.ts";
import { loadConfig, parseToml } from "../src/load-config.ts";

const credential = (below: string): { path: string; resource_uri: string } => ({
  path: `${CREDENTIALS_ROOT}${below}`,
  resource_uri: "kbs:///a/b/c",
});

describe("parseConfig", () => {
  it("has defaults for everything", () => {
    expect(parseConfig({})).toEqual({
      socket: DEFAULT_SOCKET,
      agentSocket: DEFAULT_AGENT_SOCKET,
      logLevel: "info",
      credentials: [],
      skipSecretVerification: false,
      image: { workDir: DEFAULT_WORK_DIR, concurrentDownloads: 3, extraRoots: [] },
    });
  });

  it("reads the settings of the image section", async () => {
    const text = `
      socket = "unix:///run/x.sock"
      skip_sealed_secret_verification = true
      [[credentials]]
      path = "/run/confidential-containers/cdh/kbs/kms-credential/aws/credential.json"
      resource_uri = "kbs:///a/b/c"
      [[credentials]]
      path = "/run/confidential-containers/cdh/sealed-secret/signer"
      resource_uri = "kbs:///a/b/d"
      [kbc]
      name = "cc_kbc"
      url = "https://broker.test:8080"
      kbs_cert = "PEM of a broker"
      [aa]
      aa_socket = "unix:///run/aa.sock"
      [log]
      level = "debug"
      [image]
      work_dir = "/w"
      max_concurrent_layer_downloads_per_image = 7
      authenticated_registry_credentials_uri = "file:///a.json"
      registry_configuration_uri = "file:///r.toml"
      extra_root_certificates = ["PEM"]
      [[image.registry_config.registry]]
      location = "r.test"
      insecure = true
    `;
    expect(parseConfig(await parseToml("x", text))).toEqual({
      socket: "unix:///run/x.sock",
      agentSocket: "unix:///run/aa.sock",
      kbc: { name: "cc_kbc", url: "https://broker.test:8080", cert: "PEM of a broker" },
      logLevel: "debug",
      skipSecretVerification: true,
      credentials: [
        { path: "/run/confidential-containers/cdh/kbs/kms-credential/aws/credential.json", uri: "kbs:///a/b/c" },
        { path: "/run/confidential-containers/cdh/sealed-secret/signer", uri: "kbs:///a/b/d" },
      ],
      image: {
        workDir: "/w",
        concurrentDownloads: 7,
        credentialsUri: "file:///a.json",
        registriesUri: "file:///r.toml",
        extraRoots: ["PEM"],
        registries: {
          searchRegistries: ["docker.io"],
          rules: [{ prefix: "r.test", location: "r.test", insecure: true, blocked: false, mirrors: [] }],
        },
      },
    });
  });

  it.each<[unknown, string]>([
    [[], "configuration is not a table"],
    [{ sockets: "x" }, "configuration has the unknown key sockets"],
    [{ socket: 1 }, "socket is not a text"],
    [{ kbc: {} }, "kbc.name is undefined, expected cc_kbc or offline_fs_kbc"],
    [{ kbc: { name: "sev" } }, 'kbc.name is "sev"'],
    [{ kbc: { name: "cc_kbc", url: "broker:8080" } }, "kbc.url is not a URL"],
    [{ kbc: { name: "cc_kbc", cert: "PEM" } }, "[kbc] has the unknown key cert"],
    [{ aa: { socket: "x" } }, "[aa] has the unknown key socket"],
    [{ log: { level: "loud" } }, 'log.level is "loud"'],
    [{ image: { workdir: "/x" } }, "[image] has the unknown key workdir"],
    [{ image: { max_concurrent_layer_downloads_per_image: 0 } }, "is not a number from 1 to 64"],
    [{ image: { extra_root_certificates: "PEM" } }, "not a list of PEM certificates"],
    [{ image: { image_security_policy_uri: "https://policies.test/p" } }, "image.image_security_policy_uri is"],
    [{ image: { image_security_policy_uri: "policy.json" } }, "expected file:///PATH or kbs:///"],
    [{ image: { image_security_policy: "" } }, "image.image_security_policy is not a text"],
    [{ image: { sigstore_config_uri: 1 } }, "image.sigstore_config_uri is not a text"],
    [{ image: { image_pull_proxy: { https_proxy: "p:3128" } } }, "image_pull_proxy.https_proxy is not a URL"],
    [{ image: { image_pull_proxy: { http_proxy: "socks5://p" } } }, "image_pull_proxy.http_proxy is not a URL"],
    [{ image: { image_pull_proxy: { ftp_proxy: "http://p" } } }, "unknown key ftp_proxy"],
    [{ image: { authenticated_registry_credentials_uri: "kbs:///a/b/c" } }, "expected file:///PATH"],
    [{ image: { registry_configuration_uri: "kbs:///a/b/c" } }, "expected file:///PATH"],
    [{ image: { registry_config: { registry: [{}] } } }, "needs a prefix or a location"],
    [{ skip_sealed_secret_verification: "true" }, "is not true or false"],
    [{ credentials: {} }, "expected at most 64 tables"],
    [{ credentials: [{ path: "/run/x", resource_uri: "kbs:///a/b/c" }] }, "expected a path below /run/confidential"],
    [{ credentials: [credential("/x/../../y")] }, "without . and .."],
    [{ credentials: [credential("-evil/x")] }, "expected a path below"],
    [{ credentials: [credential("/./x")] }, "without . and .."],
    [{ credentials: [credential("/x/")] }, "without . and .."],
    [{ credentials: [credential("/x"), credential("/x")] }, "kbs/x is named twice"],
    [{ credentials: [{ ...credential("/x"), resource_uri: "http://x/y" }] }, "expected a resource's name"],
    [{ credentials: [{ ...credential("/x"), mode: 1 }] }, "credentials[0] has the unknown key mode"],
    [{ credentials: [{ path: CREDENTIALS_ROOT }] }, "expected path and resource_uri"],
  ])("refuses %j", (value, why) => {
    expect(() => parseConfig(value)).toThrow(why);
  });

  it("refuses what is not TOML, naming the file", async () => {
    await expect(parseToml("/etc/x.conf", "= 1")).rejects.toThrow("/etc/x.conf is not TOML");
  });
});

describe("configFromKernel", () => {
  it("takes the broker, which upstream's default has without an address", () => {
    expect(configFromKernel("agent.aa_kbc_params=cc_kbc::http://b.test:1").kbc).toEqual({
      name: "cc_kbc",
      url: "http://b.test:1",
    });
    expect(configFromKernel("agent.aa_kbc_params=offline_fs_kbc::").kbc).toEqual({ name: "offline_fs_kbc" });
    expect(configFromKernel("quiet").kbc).toBeUndefined();
    for (const params of ["cc_kbc", "cc_kbc::http://b::c", "a::b"]) {
      expect(() => configFromKernel(`agent.aa_kbc_params=${params}`)).toThrow(ConfigError);
    }
  });

  it("takes the credentials' place and nothing inside quotes", () => {
    expect(configFromKernel("quiet agent.image_registry_auth=file:///a.json").image.credentialsUri).toBe(
      "file:///a.json",
    );
    expect(configFromKernel('x="y agent.image_registry_auth=file:///a.json"').image).not.toHaveProperty(
      "credentialsUri",
    );
  });

  it("takes a signature policy where verification is enabled", () => {
    const enabled =
      "agent.enable_signature_verification=true agent.image_policy_file=kbs:///default/security-policy/test";
    expect(configFromKernel(enabled).image.securityPolicy).toEqual({ uri: "kbs:///default/security-policy/test" });
    expect(configFromKernel("agent.image_policy_file=file:///p").image).not.toHaveProperty("securityPolicy");
  });

  it("takes the proxies", () => {
    const line = "agent.https_proxy=http://p:1 agent.no_proxy=a.test,b.test agent.http_proxy=";
    expect(configFromKernel(line).image.proxy).toEqual({ https: "http://p:1", exceptions: "a.test,b.test" });
    expect(configFromKernel("quiet").image).not.toHaveProperty("proxy");
  });

  it.each([
    ["agent.enable_signature_verification=true", "expected agent.image_policy_file, too"],
    ["agent.https_proxy=p", "image_pull_proxy.https_proxy is not a URL"],
    ["agent.image_registry_auth=kbs:///a/b/c", "expected file:///PATH"],
  ])("refuses %s", (line, why) => {
    expect(() => configFromKernel(line)).toThrow(why);
    expect(() => configFromKernel(line)).toThrow(ConfigError);
  });
});

describe("loadConfig", () => {
  const folder = mkdtempSync(join(tmpdir(), "nacre-hub-config-"));
  afterAll(() => rmSync(folder, { recursive: true }));
  const write = (name: string, text: string): string => {
    writeFileSync(join(folder, name), text);
    return join(folder, name);
  };
  const kernel = (text: string): { defaultPath: string; kernelCommandLine: string } => ({
    defaultPath: join(folder, "none"),
    kernelCommandLine: write("cmdline", text),
  });

  it("adds what the kernel's line says of credentials, which never verify secrets", async () => {
    const option = write("a.toml", '[kbc]\nname = "offline_fs_kbc"\n');
    const load = (line: string) => loadConfig({ option, env: {}, ...kernel(line) });
    const resources = `cdh.kbs_resources=kbs:///a/b/c::${CREDENTIALS_ROOT}/x,kbs:///a/b/d::${CREDENTIALS_ROOT}/y`;
    expect((await load(resources)).credentials).toEqual([
      { path: `${CREDENTIALS_ROOT}/x`, uri: "kbs:///a/b/c" },
      { path: `${CREDENTIALS_ROOT}/y`, uri: "kbs:///a/b/d" },
    ]);
    for (const bad of ["kbs:///a/b/c", `kbs:///a/b/c::${SIGNING_KEYS_ROOT}/k`, "kbs:///a/b/c::/etc/x", "a::b::c"]) {
      await expect(load(`cdh.kbs_resources=${bad}`)).rejects.toThrow("cdh.kbs_resources: expected");
    }
  });

  it("lets the environment count before the file", async () => {
    const option = write("b.json", JSON.stringify({ kbc: { name: "cc_kbc", url: "http://a.test", kbs_cert: "A" } }));
    const load = (env: Record<string, string>) => loadConfig({ option, env, ...kernel("") });
    expect(await load({})).toMatchObject({ kbc: { url: "http://a.test", cert: "A" }, skipSecretVerification: false });
    expect(
      await load({
        AA_KBC_PARAMS: "cc_kbc::http://b.test",
        AA_SOCKET: "unix:///aa",
        KBS_CERT: "B",
        SKIP_SEALED_SECRET_VERIFICATION: "true",
      }),
    ).toMatchObject({
      kbc: { name: "cc_kbc", url: "http://b.test", cert: "B" },
      agentSocket: "unix:///aa",
      skipSecretVerification: true,
    });
    await expect(load({ AA_KBC_PARAMS: "cc_kbc" })).rejects.toThrow("AA_KBC_PARAMS is not NAME::URL");
    await expect(loadConfig({ option: write("c.json", "{"), env: {}, ...kernel("") })).rejects.toThrow("is not JSON");
  });
});

describe("filePath", () => {
  it.each([
    ["file:///a/b", "/a/b"],
    ["/a/b", "/a/b"],
  ])("%s", (uri, path) => {
    expect(filePath("x", uri)).toBe(path);
  });

  it.each(["kbs:///a/b/c", "http://a/b", "a/b", "file://a/b", ""])("refuses %j", (uri) => {
    expect(() => filePath("x", uri)).toThrow("expected file:///PATH");
  });
});
