import { describe, expect, it } from "vitest";

import { parseConfig } from "../src/config.ts";

const KBS = `
[http_server]
sockets = ["127.0.0.1:8080"]
private_key = "./state/https.key"
certificate = "./state/https.crt"
insecure_http = false
payload_request_size = 4
tls_profile = "modern"
[attestation_token]
trusted_certs_paths = ["./state/ca-cert.pem"]
[attestation_service]
type = "coco_as_builtin"
timeout = 7
[attestation_service.attestation_token_broker]
duration_min = 9
[attestation_service.attestation_token_broker.signer]
key_path = "./state/token.key"
cert_path = "./state/token-cert-chain.pem"
[attestation_service.rvps_config]
type = "BuiltIn"
[attestation_service.verifier_config.tpm_verifier]
trusted_ak_keys_dir = "./state/attestation-service/tpm_trusted_keys"
max_trusted_ak_keys = 100
[storage_backend]
storage_type = "LocalFs"
[storage_backend.backends.local_fs]
dir_path = "./state/storage"
[admin]
authorization_mode = "AuthenticatedAuthorization"
[admin.authentication.bearer_jwt]
identity_providers = [{ issuer = "issuer", audience = "kbs", public_key_uri = "./state/kbs.pem" }]
[admin.authorization.regex_acl]
acls = [{ role = "admin", allowed_endpoints = "^/kbs/.+$" }, { role = "r", allowed_endpoints = "^/kbs/a$|^/kbs/b$" }]
[[plugins]]
name = "resource"
storage_backend_type = "kvstorage"
`;

describe("a configuration file", () => {
  it("is upstream's", () => {
    const config = parseConfig(KBS, "toml");
    expect(config).toMatchObject({
      http: {
        sockets: ["127.0.0.1:8080"],
        insecure: false,
        privateKey: "./state/https.key",
        maxBody: 4 * 1024 * 1024,
        tls: { minVersion: "TLSv1.3" },
      },
      tokens: { certificates: ["./state/ca-cert.pem"], insecureHeaderJwk: false },
      attestation: {
        minutes: 9,
        keyPath: "./state/token.key",
        verboseToken: true,
        vcekSources: [{ type: "KDS" }],
        tpmKeys: { folder: "./state/attestation-service/tpm_trusted_keys", max: 100 },
      },
      ineffective: [],
      sessionMinutes: 7,
      storage: { kind: "LocalFs", localFsPath: "./state/storage" },
      admin: {
        mode: "AuthenticatedAuthorization",
        providers: [{ issuer: "issuer", audience: "kbs", publicKey: "./state/kbs.pem" }],
      },
      resourcePlugin: true,
    });
    if (config.admin.mode !== "AuthenticatedAuthorization") throw new Error("another mode");
    const [all, two] = config.admin.rules;
    expect(all?.endpoints.test("/kbs/v0/resource/a/b/c?x=1")).toBe(true);
    expect(all?.endpoints.test("/x/kbs/v0")).toBe(false);
    // Each branch is of the whole path.
    expect(two?.endpoints.test("/kbs/a")).toBe(true);
    expect(two?.endpoints.test("/kbs/abc")).toBe(false);
  });

  it("that says nothing lets nobody administer, and serves TLS", () => {
    expect(parseConfig("", "toml")).toMatchObject({
      admin: { mode: "DenyAll" },
      http: { insecure: false, sockets: ["127.0.0.1:8080"] },
      storage: { kind: "Memory" },
      attestation: undefined,
      resourcePlugin: false,
    });
    expect(parseConfig("{}", "json").admin.mode).toBe("DenyAll");
  });

  it("names the settings that it has no use for", () => {
    const text = `${KBS.replace('type = "BuiltIn"', 'type = "BuiltIn"\nstorage_type = "LocalJson"').replace(
      "payload_request_size = 4",
      "worker_count = 4",
    )}\n`;
    expect(parseConfig(text, "toml").ineffective).toEqual([
      "http_server.worker_count",
      "attestation_service.rvps_config.storage_type",
    ]);
  });

  it.each([
    [KBS.replace("max_trusted_ak_keys", "max_keys"), "max_keys: expected no such member"],
    ["[http_server]\ninsecure = true", "insecure: expected no such member"],
    ["[admin]\ntype = 'DenyAll'", "type: expected no such member"],
    ["[admin]\nauthorization_mode = 'All'", "authorization_mode: expected one of"],
    ["[attestation_service]\ntype = 'intel_ta'", "type: expected coco_as_builtin"],
    ["[storage_backend]\nstorage_type = 'Tape'", "storage_type: expected one of"],
    ["[[plugins]]\nname = 'pkcs11'", "name: expected resource"],
    ["[http_server]\nsockets = '127.0.0.1:1'", "sockets: expected a list of texts"],
    ["[http_server]\npayload_request_size = 0", "payload_request_size: expected a whole number"],
    [KBS.replace("^/kbs/.+$", "/kbs/.+"), "allowed_endpoints: expected an expression from ^/kbs to $"],
    [KBS.replace("^/kbs/.+$", "^/kbs/(.+$"), "expected a regular expression"],
    ["[admin", "expected TOML"],
    ...["dcap_verifier", "nvidia_verifier", "nvidia_dpu_verifier"].map((name) => [
      `${KBS}\n[attestation_service.verifier_config.${name}]\n`,
      `verifier_config.${name}: expected no such member, because evidence of`,
    ]),
  ])("%j is refused", (text, message) => {
    expect(() => parseConfig(text, "toml")).toThrow(message);
  });
});

it("reads where servers of storages are, with upstream's defaults", () => {
  const storage = (text: string) => parseConfig(`[storage_backend]\n${text}`, "toml").storage;
  expect(storage('storage_type = "Postgres"')).toMatchObject({
    kind: "Postgres",
    postgres: { host: "localhost", port: 5432, database: "postgres", user: "postgres", password: undefined },
    redisUrl: "redis://127.0.0.1:6379",
  });
  const text = 'db = "kbs"\nusername = "trustee"\npassword = "x"\nport = 6432\nhost = "db"\ntable = "key_value"';
  expect(storage(`storage_type = "postgres"\n[storage_backend.backends.postgres]\n${text}`)).toMatchObject({
    kind: "Postgres",
    postgres: { host: "db", port: 6432, database: "kbs", user: "trustee", password: "x" },
  });
  expect(storage('storage_type = "Redis"\n[storage_backend.backends.redis]\nurl = "rediss://cache"').redisUrl).toBe(
    "rediss://cache",
  );
  expect(storage('storage_type = "local_fs"').kind).toBe("LocalFs");
  expect(() => storage('storage_type = "LocalJson"')).toThrow("storage_type: expected one of");
  expect(() => storage("[storage_backend.backends.postgres]\nport = 70000")).toThrow("port: expected the number");
  expect(() => storage('[storage_backend.backends.redis]\nuri = "x"')).toThrow("no such member");
});
