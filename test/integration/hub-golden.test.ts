import {
  fromJson,
  GetResourceService,
  KeyProviderService,
  type MethodDescriptor,
  SealedSecretService,
  SecureMountService,
  toJson,
} from "@nacre/protocols";
import { RpcError } from "@nacre/ttrpc";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { DataHubStack, DENY } from "../fixtures/data-hub.ts";
import { jsonLines, vectors } from "../setup/data.ts";

interface Row {
  readonly id: string;
  readonly precondition: string;
  readonly service: string;
  readonly method: string;
  readonly request?: object;
  readonly request_b64?: null;
  readonly reply?: object;
  readonly code?: number;
  readonly message?: string;
  readonly pending?: boolean;
}

const OWN: Row = {
  id: "cdh/resource-host",
  precondition: "CDH cc_kbc",
  service: "api.GetResourceService",
  method: "GetResource",
  request: { ResourcePath: "kbs://example.test/repo/type/tag" },
  reply: { Resource: Buffer.from("golden-secret").toString("base64") },
};

/** Its signatures give the public key of the recording; its packet's key was found by trial. */
const SIGNING_KEY = JSON.stringify({
  kty: "EC",
  crv: "P-256",
  x: "5MYIiZJmNIZvD2ZuDT8-rqoLrFs6z2vRmW4urB6kIGc",
  y: "tPI4Tc85SgltA8W8wiLoXOZIswWyKd4yDH2gk93Jt9U",
});
const KEK = Buffer.from(Array.from({ length: 32 }, (_, i) => i));

const SERVICES = [GetResourceService, SealedSecretService, SecureMountService, KeyProviderService];
const METHODS: ReadonlyMap<string, MethodDescriptor<object, object>> = new Map(
  SERVICES.flatMap(({ methods }) =>
    Object.values(methods as Readonly<Record<string, MethodDescriptor<object, object>>>).map(
      (method) => [`${method.service}/${method.name}`, method] as const,
    ),
  ),
);

/** Where ours differs from what was recorded, and why. Beyond these, causes follow upstream's sentences. */
const DIFFERENCES: Readonly<Record<string, string>> = {
  "cdh/unwrap-ctr-type": "upstream never answers for a counter of 12 bytes; ours refuses it",
};

/** What is taken away before a row, and stays so; the rows are in this order. */
const STATES: readonly (readonly [precondition: RegExp, take: (stack: DataHubStack) => Promise<void>])[] = [
  [/^as before, deny policy/u, (stack) => stack.setPolicy(DENY)],
  [/^KBS down$/u, (stack) => stack.stopBroker()],
  [/^KBS down, AA down/u, (stack) => stack.stopAgent()],
  [
    /^CDH with offline_fs_kbc/u,
    async (stack) => {
      await stack.stopHub();
      await stack.startHub({ kbc: 'name = "offline_fs_kbc"\n' });
    },
  ],
];

const golden = vectors("golden/cdh.jsonl");
// Of pulls test/system/cdh-daemon.test.ts; frames that are too long or name nobody are test/integration/ttrpc-hostile.test.ts's.
const rows =
  golden === undefined
    ? [OWN]
    : jsonLines<Row>(golden).filter(
        ({ service, method, request }) => METHODS.has(`${service}/${method}`) && request !== undefined,
      );

let stack: DataHubStack;
let reached = -1;
beforeAll(async () => {
  stack = await DataHubStack.start();
  await stack.put("repo/type/tag", "golden-secret");
  await stack.put("default/signing/pub", SIGNING_KEY);
  await stack.put("default/kek/1", KEK);
  await stack.put("default/kek/short", "short");
});
afterAll(async () => await stack[Symbol.asyncDispose]());

async function reach(precondition: string): Promise<void> {
  const wanted = STATES.findIndex(([pattern]) => pattern.test(precondition));
  for (; reached < wanted; reached++) await STATES[reached + 1]?.[1](stack);
}

describe("the recorded replies of upstream's hub", () => {
  it.each(rows)(
    "$id",
    async ({ id, precondition, service, method: name, request = {}, reply, code, message, pending }) => {
      await reach(precondition);
      const method = METHODS.get(`${service}/${name}`) as MethodDescriptor<object, object>;
      const ours = await stack.call(method, fromJson(method.requestType, request)).catch((error: unknown) => error);
      if (pending === true) {
        expect([DIFFERENCES[id] !== undefined, ours]).toEqual([true, expect.any(RpcError)]);
        return;
      }
      if (reply !== undefined) {
        expect(ours).not.toBeInstanceOf(Error);
        expect(toJson(method.responseType, ours as object)).toEqual(reply);
        return;
      }
      expect(ours).toMatchObject({ code });
      expect((ours as Error).message.slice(0, message?.length)).toBe(message);
    },
  );
});
