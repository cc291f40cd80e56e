import { afterEach, beforeEach, expect, it } from "vitest";

import { attest, begin, sampleGuest } from "./sample-guest.ts";
import { testTrustee, type TestTrustee } from "./test-trustee.ts";

let broker: TestTrustee;
beforeEach(async () => {
  broker = await testTrustee();
});
afterEach(async () => await broker.trustee.close());

/** Samples by their names with labels. */
async function figures(): Promise<ReadonlyMap<string, number>> {
  const { status, body } = await broker.call("GET", "/metrics");
  expect(status).toBe(200);
  const samples = body.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return new Map(
    samples.map((line) => {
      const end = line.lastIndexOf(" ");
      return [line.slice(0, end), Number(line.slice(end + 1))];
    }),
  );
}

it("count handshakes, resources, decisions and what the plugin was asked, under upstream's names", async () => {
  const admin = { authorization: broker.admin() };
  const policy = Buffer.from('package policy\nallow if data["resource-path"][2] != "no"\n').toString("base64url");
  await broker.call("POST", "/kbs/v0/resource-policy", admin, JSON.stringify({ policy }));
  await broker.call("POST", "/kbs/v0/resource/a/b/c", admin, "secret");
  await broker.call("POST", "/kbs/v0/resource/a/b/other", admin, "secret");
  await broker.call("DELETE", "/kbs/v0/resource/a/b/other", admin);
  const { cookie } = await attest(broker);
  await attest(broker, sampleGuest(), (body) => (body["tee-evidence"]["primary_evidence"] = {}));
  await begin(broker);
  await broker.call("POST", "/kbs/v0/auth", {}, "{}");
  for (const path of ["a/b/c", "a/b/c", "a/b/none", "a/b/no"]) {
    await broker.call("GET", `/kbs/v0/resource/${path}`, { cookie });
  }
  await broker.call("GET", "/kbs/v0/resource/a/b/c");
  await broker.call("POST", "/kbs/v0/resource/a/b/c", {}, "not an administrator");

  const found = await figures();
  expect(Object.fromEntries([...found].filter(([name]) => !/duration|size_bytes|http|build/u.test(name)))).toEqual({
    kbs_attestation_requests_total: 2,
    kbs_attestation_errors_total: 1,
    'kbs_attestation_successes_total{tee_type="sample"}': 1,
    'kbs_attestation_failures_total{tee_type="sample"}': 1,
    kbs_auth_requests_total: 4,
    kbs_auth_successes_total: 3,
    kbs_auth_errors_total: 1,
    kbs_policy_evaluations_total: 4,
    kbs_policy_approvals_total: 3,
    kbs_policy_violations_total: 1,
    kbs_policy_errors_total: 0,
    'kbs_resource_reads_total{resource_path="a/b/c"}': 2,
    'kbs_resource_writes_total{resource_path="a/b/c"}': 1,
    'kbs_resource_writes_total{resource_path="a/b/other"}': 1,
    'kbs_resource_deletes_total{resource_path="a/b/other"}': 1,
    // Two writes, one deletion, three reads of which one found nothing; what was refused before did not reach it.
    'kbs_plugin_requests_total{plugin_name="resource"}': 6,
    'kbs_plugin_errors_total{plugin_name="resource"}': 1,
  });
  expect(found.get('kbs_plugin_request_duration_seconds_count{plugin_name="resource"}')).toBe(6);
  expect(found.get('kbs_plugin_request_duration_seconds_bucket{plugin_name="resource",le="+Inf"}')).toBe(6);
  expect([...found.keys()].filter((name) => name.startsWith("kbs_build_info"))).toEqual([
    expect.stringMatching(/^kbs_build_info\{version="[^"]+",git_hash="[^"]*",build_date="[^"]*"\}$/u),
  ]);
});

it("count what HTTP carried, and those connected now", async () => {
  const before = await figures();
  await broker.call("POST", "/kbs/v0/auth", {}, "x".repeat(600));
  const after = await figures();
  const change = (name: string): number => (after.get(name) ?? 0) - (before.get(name) ?? 0);
  // The request itself, and the one that reads it.
  expect(change("kbs_http_requests_total")).toBe(2);
  expect(change('kbs_http_request_size_bytes_bucket{le="512"}')).toBe(1);
  expect(change('kbs_http_request_size_bytes_bucket{le="2048"}')).toBe(2);
  expect(change("kbs_http_request_size_bytes_sum")).toBe(600);
  // Upstream puts sizes of responses among those of requests.
  expect(change("kbs_http_response_size_bytes_count")).toBe(2);
  // The one that asks; that of before may just be ending.
  expect([1, 2]).toContain(after.get("kbs_http_active_connections"));
  for (const [name, value] of after) {
    if (name.includes("_bucket{")) expect(value, name).toBeLessThanOrEqual(after.get(infinite(name)) ?? -1);
  }
});

const infinite = (name: string): string => name.replace(/le="[^"]*"/u, 'le="+Inf"');

it("are read by GET alone, and show no query, no token and no secret", async () => {
  expect((await broker.call("POST", "/metrics")).status).toBe(405);
  const { cookie } = await attest(broker);
  await broker.call("GET", "/kbs/v0/resource/a/b/c?secret=1", { cookie, authorization: "Bearer eyJ" });
  expect((await broker.call("GET", "/metrics")).body).not.toMatch(/secret|eyJ|kbs-session/u);
});
