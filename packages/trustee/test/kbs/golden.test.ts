import { mkdtempSync, rmSync } from "node:fs";
import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { KBS_ERROR_TYPE } from "@nacre/kbs-protocol";
import { DEFAULT_RESOURCE_POLICY } from "../../src/kbs/resource-policy.ts";
import { LocalFsStorage } from "../../src/storage/local-fs.ts";
import { Namespace } from "../../src/storage/storage.ts";
import { jsonLines, vectors } from "../../../../test/setup/data.ts";
import { signJwt, testTrustee, type TestTrustee } from "./test-trustee.ts";

/** Replies recorded from the real broker, against ours, in their order. */
interface Row {
  readonly id: string;
  readonly policy: string;
  readonly method: string;
  readonly path: string;
  readonly request_headers: Record<string, string>;
  readonly request_body: string | null;
  readonly status: number | null;
  readonly response_headers: Record<string, string>;
  readonly header_names?: readonly string[];
  readonly response_body: string;
  readonly token_decoded?: { readonly header: Record<string, unknown>; readonly claims: Record<string, unknown> };
  readonly jwe_decoded?: { readonly member_order: readonly string[]; readonly protected: Record<string, unknown> };
  readonly metric_types?: readonly string[];
  readonly help?: readonly string[];
}

/** Where ours answers otherwise, and why. `status`: what it answers. */
const DIFFERENCES: readonly {
  readonly id: RegExp;
  readonly status?: number;
  readonly detail?: RegExp;
  readonly why: string;
}[] = [
  {
    id: /^resource\/((missing-)?under|path-query-under)(-runtime-error)?$/,
    status: 401,
    detail: /^Policy engine error: Failed to eval policy$/u,
    why: "the policy's line is not sent to the guest",
  },
  { id: /^reference-value\/get-(empty|slash)$/, status: 200, why: "reference values can be listed" },
  { id: /^reference-value\/delete$/, status: 200, why: "reference values can be deleted" },
  { id: /^attest\/policy-unknown-claim$/, status: 401, why: "the real broker drops the connection" },
];

/** What is not replayed, and why. */
const LEFT_OUT: readonly { readonly id: RegExp; readonly why: string }[] = [
  { id: /^resource\/(post-path \/a\/b\/c d|post-path \/a\/b\/é)$/, why: "the recording's client could not send it" },
  { id: /^resource\/own-/, why: "tokens that the recording's client made; token-verifier.test.ts makes its own" },
];

const POLICIES: Readonly<Record<string, string>> = {
  "policy/set-allow-all": "package policy\nimport rego.v1\ndefault allow := true\n",
  "policy/set-allow-all-again": "package policy\nimport rego.v1\ndefault allow := true\n",
  "policy/set-deny-all": "package policy\nimport rego.v1\ndefault allow := false\n",
  "policy/set-undefined": "package policy\nimport rego.v1\nallow if { false }\n",
  "policy/set-string": 'package policy\nallow := "yes"\n',
  "policy/set-other-package": "package other\nallow := true\n",
  "policy/set-by-path":
    'package policy\nimport rego.v1\ndefault allow := false\nallow if { data["resource-path"] == ["repo", "type", "tag"] }\n',
  "policy/set-runtime-error":
    "package policy\nimport rego.v1\ndefault allow := false\nallow if { data.plugin + 1 == 2 }\n",
};

const path = vectors("golden/kbs.jsonl");
if (path === undefined) {
  it("answers a health check (no vectors)", async () => {
    const broker = await testTrustee();
    expect((await broker.call("GET", "/healthz")).status).toBe(200);
    await broker.trustee.close();
  });
} else {
  const all = jsonLines<Row>(path);
  const rows = all.filter(({ id }) => !LEFT_OUT.some((one) => one.id.test(id)));
  const home = mkdtempSync(join(tmpdir(), "nacre-golden-"));
  let broker: TestTrustee;
  let policy = "default";
  let storage: LocalFsStorage;
  const other: KeyObject = generateKeyPairSync("ed25519").privateKey;
  const tokens = new Map<string, string>();
  const sessions = new Map<string, string>();

  beforeAll(async () => {
    storage = await LocalFsStorage.open(home);
    broker = await testTrustee({}, storage);
  });
  afterAll(async () => {
    await broker.trustee.close();
    rmSync(home, { recursive: true });
  });

  /** A session that waits for evidence with the recorded nonce. */
  async function sessionFor(row: Row): Promise<string> {
    const nonce = /"nonce": "([^"]+)"/u.exec(row.request_body ?? "")?.[1] ?? "x";
    const known = sessions.get(row.id.includes("second-attest") ? "last" : nonce);
    if (known !== undefined) return known;
    const tee = /^attest\/(snp|tdx|tpm)-with/u.exec(row.id)?.[1] ?? "sample";
    const id = String(sessions.size).padStart(32, "0").replace(/^0/u, "f");
    const right = row.id === "attest/wrong-nonce" ? "another" : nonce;
    const state = { Authed: { tee, nonce: right, timeout: new Date(Date.now() + 300_000).toISOString() } };
    await storage.set(Namespace.SESSION, id, Buffer.from(JSON.stringify(state)));
    sessions.set(nonce, id);
    sessions.set("last", id);
    return id;
  }

  async function headersOf(row: Row): Promise<Record<string, string>> {
    const headers = { ...row.request_headers };
    const { cookie, authorization = "" } = headers;
    if (cookie !== undefined && !/=(0{32}|zz)$|^foo/u.test(cookie)) {
      const unattested = /not-attested|unattested/u.test(row.id);
      const session = row.path.includes("/attest")
        ? await sessionFor(row)
        : unattested
          ? await sessionFor({ ...row, id: "none", request_body: '"nonce": "nobody"' })
          : (sessions.get("attest/ok-ec256") ?? "");
      headers["cookie"] = `kbs-session-id=${session}`;
    }
    const [, scheme, jwt] = /^(\w+ )<JWT EdDSA (.*)>$/u.exec(authorization) ?? [];
    if (jwt !== undefined) {
      const [, key, header = "", claims = ""] = /^key=(\w+) header=(\{.*\}) claims=(\{.*\})$/u.exec(jwt) ?? [];
      const now = Math.floor(Date.now() / 1000);
      const at = (_: string, n: string): string => String(now + Number(n));
      const said = JSON.parse(claims.replaceAll(/"now([+-]\d+)"/gu, at)) as unknown;
      headers["authorization"] =
        `${scheme}${signJwt(JSON.parse(header), said, key === "admin" ? broker.adminKey : other)}`;
    }
    const named = /^Bearer <token of ([^ >]+)(.*)>$/u.exec(authorization);
    if (named !== null) {
      const token = tokens.get(named[1] ?? "") ?? "";
      headers["authorization"] = `Bearer ${named[2] === "" ? token : `${token.slice(0, -6)}AAAAAA`}`;
    }
    return headers;
  }

  function bodyOf(row: Row): string {
    const size = /^<(\d+) bytes>$/u.exec(row.request_body ?? "")?.[1];
    if (size === undefined) return row.request_body ?? "";
    const body = '{"version":"0.4.0","tee":"sample","extra-params":"';
    return `${body}${"x".repeat(Number(size) - body.length - 2)}"}`;
  }

  describe.each(rows)("$id", (row) => {
    it(`${row.method} ${row.path.slice(0, 60)} is answered as recorded`, async () => {
      if (row.policy !== policy) {
        policy = row.policy;
        const text = POLICIES[policy] ?? DEFAULT_RESOURCE_POLICY;
        await storage.set(Namespace.KBS, "resource-policy.rego", Buffer.from(text));
      }
      const answer = await broker.call(row.method, row.path, await headersOf(row), bodyOf(row));
      const difference = DIFFERENCES.find(({ id }) => id.test(row.id));
      if (difference !== undefined) {
        expect(answer.status).toBe(difference.status);
        if (difference.detail !== undefined)
          expect((JSON.parse(answer.body) as { detail: string }).detail).toMatch(difference.detail);
        // A difference that went away must leave the table.
        expect([answer.status, answer.body]).not.toEqual([row.status, row.response_body]);
        return;
      }
      expect({ status: answer.status, body: row.status === 200 ? "" : answer.body }).toEqual({
        status: row.status,
        body: row.status === 200 ? "" : row.response_body,
      });
      compareHeaders(row, answer.headers);
      if (row.status === 200) compareBody(row, answer.body);
      if (row.status === 401) expect(answer.body).toContain(KBS_ERROR_TYPE);
      remember(row, answer.body);
    });
  });

  it("the differences, and what is left out, are of recorded replies, each with its reason", () => {
    for (const { id, why } of [...DIFFERENCES, ...LEFT_OUT]) {
      expect(
        all.some((row) => id.test(row.id)),
        String(id),
      ).toBe(true);
      expect(why).not.toBe("");
    }
  });

  function remember(row: Row, body: string): void {
    if (row.status !== 200 || !row.path.startsWith("/kbs/v0/attest") || row.path.includes("policy")) return;
    tokens.set(row.id, (JSON.parse(body) as { token: string }).token);
    sessions.set(row.id, sessions.get("last") ?? "");
  }

  function compareHeaders(row: Row, headers: Readonly<Record<string, string>>): void {
    const names = Object.keys(headers).filter(
      (name) => name !== "keep-alive" && (name !== "connection" || row.header_names?.includes(name) === true),
    );
    if (row.header_names !== undefined) expect(names.toSorted()).toEqual(row.header_names);
    for (const name of ["content-type", "allow"]) expect(headers[name]).toBe(row.response_headers[name]);
    if (row.response_headers["set-cookie"] !== undefined) {
      expect(headers["set-cookie"]).toMatch(
        /^kbs-session-id=[0-9a-f]{32}; Expires=\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT$/u,
      );
    }
  }

  function compareBody(row: Row, body: string): void {
    if (row.metric_types !== undefined) {
      // Upstream counts under these names what it asks its external plugins; ours counts the one plugin that there is.
      const shared = (lines: readonly string[] | null): readonly string[] | undefined =>
        lines?.filter((line) => !line.startsWith("kbs_plugin_")).toSorted();
      expect(shared(body.match(/(?<=# TYPE ).*/gu))).toEqual(row.metric_types);
      expect(shared(body.match(/(?<=# HELP ).*/gu))).toEqual(row.help);
    } else if (row.jwe_decoded !== undefined) {
      const jwe = JSON.parse(body) as Record<string, string>;
      expect(Object.keys(jwe)).toEqual(row.jwe_decoded.member_order);
      const head = JSON.parse(Buffer.from(jwe["protected"] ?? "", "base64url").toString()) as Record<string, unknown>;
      expect(Object.keys(head)).toEqual(Object.keys(row.jwe_decoded.protected));
      expect(Object.keys(head["epk"] ?? {})).toEqual(Object.keys(row.jwe_decoded.protected["epk"] ?? {}));
    } else if (row.token_decoded !== undefined) {
      const { token } = JSON.parse(body) as { token: string };
      const [head, claims] = token.split(".").map((part) => part.length > 0 && decode(part)) as [
        Record<string, unknown>,
        Record<string, unknown>,
      ];
      expect(Object.keys(head)).toEqual(Object.keys(row.token_decoded.header));
      const { iat, exp, ...rest } = claims;
      const { iat: thenIat, exp: thenExp, ...then } = row.token_decoded.claims;
      expect(rest).toEqual(then);
      expect(Number(exp) - Number(iat)).toBe(Number(thenExp) - Number(thenIat));
    } else if (row.response_body.includes("nonce")) {
      const { nonce, ...rest } = JSON.parse(body) as Record<string, unknown>;
      expect(rest).toEqual({ "extra-params": "" });
      expect(Buffer.from(String(nonce), "base64")).toHaveLength(32);
    } else if (row.response_body.startsWith('{"protected"')) {
      expect(Object.keys(JSON.parse(body) as object)).toEqual(Object.keys(JSON.parse(row.response_body) as object));
    } else if (!row.response_body.includes("<")) expect(body).toBe(row.response_body);
  }

  function decode(part: string): unknown {
    try {
      return JSON.parse(Buffer.from(part, "base64url").toString());
    } catch {
      return undefined;
    }
  }
}
