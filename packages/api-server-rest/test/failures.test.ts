import { readFileSync } from "node:fs";
import { join } from "node:path";

import { type FailureReason, REASON_DOMAIN } from "@nacre/kbs-protocol";
import { Code } from "@nacre/protocols";
import { errorInfo, RpcError } from "@nacre/ttrpc";
import { afterEach, describe, expect, it } from "vitest";

import { openApiText, OPERATIONS } from "../src/index.ts";
import { AGENT, Harness, type HttpReply } from "./components.ts";

let harness: Harness | undefined;
afterEach(async () => {
  await harness?.[Symbol.asyncDispose]();
  harness = undefined;
});

const failing = (reason: FailureReason | undefined) => (): never => {
  const details = reason === undefined ? [] : [errorInfo(REASON_DOMAIN, reason)];
  throw new RpcError(Code.INTERNAL, "[CDH] [ERROR]: Get Resource failed: SECRET CAUSE", { details });
};

describe("failures", () => {
  it.each<[FailureReason | undefined, number, string]>([
    ["DENIED", 403, '{"reason":"denied"}'],
    ["MISSING", 404, '{"reason":"missing"}'],
    ["UNREACHABLE", 502, '{"reason":"unreachable"}'],
    ["MALFORMED", 500, "ttrpc request error"],
    [undefined, 500, "ttrpc request error"],
  ])("%s is %i for who asks for details, and upstream's 500 otherwise", async (reason, status, body) => {
    harness = await Harness.start("all");
    await harness.hub({ GetResource: failing(reason) });
    await harness.agent({ ...AGENT, GetToken: failing(reason) });
    for (const path of ["/cdh/resource/repo/type/tag?", "/aa/token?token_type=kbs&"]) {
      for (const query of ["", "errors=", "errors=other"]) {
        expect(await harness.send("GET", `${path}${query}`)).toMatchObject({
          status: 500,
          body: "ttrpc request error",
        });
      }
      const reply = await harness.send("GET", `${path}errors=detailed`);
      expect([reply.status, reply.body]).toEqual([status, body]);
      expect(reply.headers["content-type"]).toBe(status === 500 ? undefined : "application/json");
    }
  });

  it("of a component that is away is one of a gateway", async () => {
    harness = await Harness.start("all");
    await harness.hub(undefined);
    expect((await harness.send("GET", "/cdh/resource/a/b/c")).status).toBe(500);
    expect(await harness.send("GET", "/cdh/resource/a/b/c?errors=detailed")).toMatchObject({
      status: 502,
      body: '{"reason":"unreachable"}',
    });
  });
});

describe("the OpenAPI document", () => {
  it("is what the table of operations gives: make generate", () => {
    expect(readFileSync(join(import.meta.dirname, "../gen/openapi.json"), "utf8")).toBe(openApiText());
  });

  const document = JSON.parse(openApiText()) as {
    readonly paths: Readonly<
      Record<
        string,
        Readonly<Record<string, { readonly responses: Readonly<Record<string, { readonly content?: object }>> }>>
      >
    >;
  };

  /** Whether an answer is one that the document has for the operation. */
  function isDeclared({ path, method }: (typeof OPERATIONS)[number], reply: HttpReply): boolean {
    const declared = document.paths[path]?.[method]?.responses[String(reply.status)];
    const type = reply.headers["content-type"];
    return declared !== undefined && (type === undefined || reply.status !== 200 || type in (declared.content ?? {}));
  }

  const urlOf = (path: string): string => path.replace("{repository}/{type}/{tag}", "repo/type/tag");

  describe.each(OPERATIONS)("$method $path", (operation) => {
    const url = urlOf(operation.path);
    const required = operation.parameters.filter((one) => one.required === true);
    const query = required.map(({ name, values }) => `${name}=${values?.[0] ?? "x"}`).join("&");
    const body = operation.body ? '{"domain":"d","operation":"o","content":"c"}' : undefined;
    const send = async (more = ""): Promise<HttpReply> =>
      (await harness?.send(operation.method.toUpperCase(), `${url}?${query}${more}`, body)) as HttpReply;

    it("answers as it says where all is well", async () => {
      harness = await Harness.start("all");
      const reply = await send();
      expect(reply.status).toBe(200);
      expect(isDeclared(operation, reply)).toBe(true);
    });

    it("answers as it says where nothing is", async () => {
      harness = await Harness.start("all");
      for (const reason of ["DENIED", "MISSING", "UNREACHABLE", "MALFORMED", undefined] as const) {
        const refuse = failing(reason);
        await harness.hub({ GetResource: refuse });
        await harness.agent(Object.fromEntries(Object.keys(AGENT).map((name) => [name, refuse])));
        for (const more of ["", "&errors=detailed"]) expect(isDeclared(operation, await send(more))).toBe(true);
      }
    });

    it("needs what it says it needs", async () => {
      harness = await Harness.start("all");
      expect(required.length > 0).toBe("400" in operation.answers);
      for (const { name } of required) {
        const others = query.split("&").filter((pair) => !pair.startsWith(`${name}=`));
        const reply = await harness.send("GET", `${url}?${others.join("&")}`);
        expect([reply.status, isDeclared(operation, reply)]).toEqual([400, true]);
      }
    });

    it("is there with its feature alone", async () => {
      harness = await Harness.start(operation.feature === "resource" ? "attestation" : "resource");
      const reply = await send();
      expect([reply.status, isDeclared(operation, reply)]).toEqual([operation.feature === undefined ? 200 : 404, true]);
      expect(reply.body.includes("Feature Not Enabled")).toBe(operation.feature !== undefined);
    });
  });
});
