import { REASON_DOMAIN } from "@nacre/kbs-protocol";
import { formatPacket, wrap } from "@nacre/ocicrypt";
import { KeyProviderService } from "@nacre/protocols";
import { reasonOf, TtrpcClient, TtrpcServer, transportPair } from "@nacre/ttrpc";
import { describe, expect, it } from "vitest";

import { jsonLines, vectors } from "../../../../test/setup/data.ts";
import { HubError } from "../../src/index.ts";
import { keyProviderService } from "../../src/key/key-provider-service.ts";
import { Unwrapper } from "../../src/key/unwrapper.ts";

const { UnWrapKey, WrapKey } = KeyProviderService.methods;
/** That of the recording. */
const KEK = Buffer.from(Array.from({ length: 32 }, (_, i) => i));
const RESOURCES: Readonly<Record<string, Buffer>> = {
  "kbs:///default/kek/1": KEK,
  "kbs:///default/kek/short": Buffer.from("short"),
};
const OPTIONS = "options of a layer";
const IV = Buffer.alloc(12, 3);

const given: Buffer[] = [];
const lines: string[] = [];

function serve(): TtrpcClient {
  const unwrapper = new Unwrapper({
    resources: {
      get: (name) => {
        const key = RESOURCES[name];
        if (key === undefined) return Promise.reject(new HubError("missing", "there is none"));
        given.push(Buffer.from(key));
        return Promise.resolve(given.at(-1) ?? Buffer.alloc(0));
      },
    },
    openKms: (provider) =>
      provider === "test"
        ? Promise.resolve({
            secret: () => Promise.reject(new Error("no")),
            decrypt: (data, kid, annotations) =>
              Promise.resolve(Buffer.from(`${String(Buffer.from(data))} ${kid} ${JSON.stringify(annotations)}`)),
          })
        : Promise.reject(new HubError("malformed", "provider: expected another")),
  });
  const [near, far] = transportPair();
  const handlers = keyProviderService(
    () => Promise.resolve(unwrapper),
    (_, line) => void lines.push(line),
  );
  new TtrpcServer().addService(KeyProviderService, handlers).serve(far);
  return new TtrpcClient(near);
}

const base64 = (text: string): string => Buffer.from(text).toString("base64");
const input = (packet: string): { KeyProviderKeyWrapProtocolInput: Buffer } => ({
  KeyProviderKeyWrapProtocolInput: Buffer.from(
    JSON.stringify({ op: "keyunwrap", keywrapparams: {}, keyunwrapparams: { annotation: base64(packet) } }),
  ),
});
const packet = (kid = "kbs:///default/kek/1", data = wrap("A256GCM", KEK, IV, Buffer.from(OPTIONS))): string =>
  formatPacket({ provider: "kbs", kid, wrapped: { type: "A256GCM", iv: IV, data } });
const unwrapped = async (client: TtrpcClient, json: string): Promise<string> => {
  const { KeyProviderKeyWrapProtocolOutput: output } = await client.call(UnWrapKey, input(json));
  const { keyunwrapresults } = JSON.parse(Buffer.from(output).toString()) as {
    keyunwrapresults: { optsdata: number[] };
  };
  return Buffer.from(keyunwrapresults.optsdata).toString();
};

describe("UnWrapKey", () => {
  it("opens packets of the broker and of a KMS, and zeroes the key", async () => {
    const client = serve();
    expect(await unwrapped(client, packet())).toBe(OPTIONS);
    expect(given.at(-1)).toEqual(Buffer.alloc(32));
    const v2 = { kid: "k", wrapped_data: base64("d"), version: "0.1.0", provider: "test", annotations: { a: "b" } };
    expect(await unwrapped(client, JSON.stringify(v2))).toBe('d k {"a":"b"}');
    expect(lines.join("\n")).not.toContain(OPTIONS);
  });

  it.each([
    [packet("kbs:///default/kek/none"), "there is none", "MISSING"],
    [packet("kbs:///default/kek/short"), "key: expected 32 bytes", "MALFORMED"],
    [packet(undefined, Buffer.alloc(40)), "this key does not open it", "MALFORMED"],
    ["nope", "annotation packet: expected JSON", "MALFORMED"],
    [JSON.stringify({ kid: "k", wrapped_data: "", version: "0.1.0", provider: "zz" }), "expected another", "MALFORMED"],
    [packet().replace("A256GCM", "A256CTR"), "A256CTR: expected an IV of 16 bytes", "MALFORMED"],
  ])("refuses %s", async (json, why, reason) => {
    const error = await serve()
      .call(UnWrapKey, input(json))
      .catch((e: unknown) => e);
    expect(error).toMatchObject({ code: 13 });
    expect((error as Error).message).toMatch(/^\[CDH\] \[ERROR\]: Decrypt Image \(UnwrapKey\) failed: /u);
    expect((error as Error).message).toContain(why);
    expect(reasonOf(error, REASON_DOMAIN)).toBe(reason);
  });

  it("is the only thing that a guest does with keys", async () => {
    await expect(serve().call(WrapKey, input("{}"))).rejects.toMatchObject({
      code: 5,
      message: "/keyprovider.KeyProviderService/WrapKey is not supported",
    });
  });
});

interface Row {
  readonly id: string;
  readonly method: string;
  readonly request: { readonly KeyProviderKeyWrapProtocolInput: string };
  readonly reply?: { readonly KeyProviderKeyWrapProtocolOutput: string };
  readonly code?: number;
  readonly message?: string;
  readonly pending?: boolean;
}

const golden = vectors("golden/cdh.jsonl");
// Where it is absent, packets of our own above go the same way.
if (golden !== undefined) {
  it("agrees with the recorded replies of upstream's hub: bytes, codes, and the sentences that ours begin with", async () => {
    const rows = jsonLines<Row>(golden).filter(({ id }) => /^cdh\/(?:un)?wrap/u.test(id));
    expect(rows.length).toBeGreaterThan(10);
    const client = serve();
    for (const { id, method, request, reply, code, message, pending } of rows) {
      const ask = { KeyProviderKeyWrapProtocolInput: Buffer.from(request.KeyProviderKeyWrapProtocolInput, "base64") };
      const ours = await client.call(method === "WrapKey" ? WrapKey : UnWrapKey, ask).catch((e: unknown) => e);
      if (reply !== undefined) {
        const { KeyProviderKeyWrapProtocolOutput: output } = ours as { KeyProviderKeyWrapProtocolOutput: Uint8Array };
        expect([id, Buffer.from(output).toString("base64")]).toEqual([id, reply.KeyProviderKeyWrapProtocolOutput]);
      } else if (pending === true) {
        // Upstream's hub never answers for a counter of 12 bytes.
        expect([id, (ours as { code: number }).code]).toEqual(["cdh/unwrap-ctr-type", 13]);
      } else {
        const failure = ours as { code: number; message: string };
        expect([id, failure.code, failure.message.slice(0, message?.length)]).toEqual([id, code, message]);
      }
    }
  });
}
