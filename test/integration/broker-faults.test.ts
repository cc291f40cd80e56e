import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { encryptReply, MAX_REPLY, TeeKey } from "@nacre/kbs-protocol";
import { AttestationAgentService, GetResourceService, type MethodDescriptor } from "@nacre/protocols";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";

import { attest as attestAs, sampleGuest } from "../../packages/trustee/test/kbs/sample-guest.ts";
import { testTrustee, type TestTrustee } from "../../packages/trustee/test/kbs/test-trustee.ts";
import { type Answer, type Asked, type BrokerFront, brokerFront, type Fault, reply } from "../fixtures/broker-front.ts";
import { RawTtrpc, type RawReply } from "../fixtures/raw-ttrpc.ts";

/** The guest's daemons as processes, before a broker that does what it should not. */
const DAEMONS = ["attestation-agent", "confidential-data-hub"] as const;
const SECRET = "the secret of a, b and c";
/** As many as a fault of the environment is tried. */
const TRIES = 5;
const SENTENCE = "[ERROR:attestation-agent] AA-KBC get token failed";

const folder = mkdtempSync(join(tmpdir(), "nacre-faults-"));
let broker: TestTrustee;
let guest: Guest;

beforeAll(async () => {
  broker = await testTrustee();
  const admin = { authorization: broker.admin() };
  const policy = Buffer.from('package policy\nallow if data["resource-path"][2] != "denied"\n').toString("base64url");
  expect((await broker.call("POST", "/kbs/v0/resource-policy", admin, JSON.stringify({ policy }))).status).toBe(200);
  for (const path of ["a/b/c", "a/b/denied"])
    expect((await broker.call("POST", `/kbs/v0/resource/${path}`, admin, SECRET)).status).toBe(200);
  guest = await Guest.start();
});
afterAll(async () => {
  await guest[Symbol.asyncDispose]();
  await broker.trustee.close();
  rmSync(folder, { recursive: true });
});
// One for all: starting two daemons is most of the work. None of the faults may end either.
beforeEach(() => guest.front.heal());

/** An agent and a hub behind the front. */
class Guest implements AsyncDisposable {
  readonly front: BrokerFront;
  #said = "";
  readonly #children: readonly ChildProcess[];
  readonly #clients: readonly RawTtrpc[];

  private constructor(front: BrokerFront, children: readonly ChildProcess[], clients: readonly RawTtrpc[]) {
    this.front = front;
    this.#children = children;
    this.#clients = clients;
    for (const child of children) child.stderr?.on("data", (text: string) => (this.#said += text));
  }

  static async start(): Promise<Guest> {
    const front = await brokerFront(broker.trustee.servers[0]?.port ?? 0);
    const path = (name: string): string => join(folder, name);
    const [agent, hub] = [path("aa.sock"), path("cdh.sock")];
    writeFileSync(path("aa.toml"), `[token_configs.kbs]\nurl = "${front.url}"\n`);
    writeFileSync(
      path("cdh.toml"),
      `socket = "unix://${hub}"\n[aa]\naa_socket = "unix://${agent}"\n[kbc]\nname = "cc_kbc"\nurl = "${front.url}"\n` +
        `[image]\nwork_dir = "${path("image")}"\n`,
    );
    const args = [
      ["-c", path("aa.toml"), "--attestation_sock", `unix://${agent}`],
      ["-c", path("cdh.toml")],
    ];
    const children = await Promise.all(DAEMONS.map((name, at) => daemon(name, args[at] ?? [])));
    const clients = await Promise.all([agent, hub].map((socket) => RawTtrpc.connect(socket)));
    return new Guest(front, children, clients);
  }

  /** All that both daemons have logged. */
  get said(): string {
    return this.#said;
  }

  async token(): Promise<string> {
    const { GetToken } = AttestationAgentService.methods;
    const { Token } = await this.#call(0, GetToken, { TokenType: "kbs", fresh: true });
    return Buffer.from(Token).toString();
  }

  async evidence(): Promise<string> {
    const { GetEvidence } = AttestationAgentService.methods;
    return Buffer.from((await this.#call(0, GetEvidence, { RuntimeData: Buffer.alloc(48) })).Evidence).toString();
  }

  async resource(name = "kbs:///a/b/c", timeoutMs?: number): Promise<string> {
    const { GetResource } = GetResourceService.methods;
    return Buffer.from((await this.#call(1, GetResource, { ResourcePath: name }, timeoutMs)).Resource).toString();
  }

  async #call<Req, Res>(
    at: 0 | 1,
    method: MethodDescriptor<Req, Res>,
    request: Parameters<MethodDescriptor<Req, Res>["encodeRequest"]>[0],
    timeoutMs?: number,
  ): Promise<Res> {
    const answer: RawReply | undefined = await this.#clients[at]?.call({
      service: method.service,
      method: method.name,
      payload: method.encodeRequest(request),
      ...(timeoutMs === undefined ? {} : { timeoutNano: BigInt(timeoutMs) * 1_000_000n }),
    });
    if (answer?.kind === "reply") return method.decodeResponse(answer.payload);
    throw Object.assign(new Error(answer?.kind === "status" ? answer.message : "closed"), answer);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of this.#clients) client.close();
    for (const child of this.#children) {
      // Neither ended by itself, whatever the broker did.
      expect([child.exitCode, child.signalCode]).toEqual([null, null]);
      const ended = once(child, "close");
      child.kill("SIGTERM");
      expect(await ended).toEqual([0, null]);
    }
    await this.front[Symbol.asyncDispose]();
  }
}

async function daemon(name: (typeof DAEMONS)[number], args: readonly string[]): Promise<ChildProcess> {
  const main = new URL(`../../packages/${name}/src/main.ts`, import.meta.url).pathname;
  const child = spawn(process.execPath, ["--conditions=source", main, ...args], {
    env: { PATH: "/usr/bin" },
    stdio: ["ignore", "ignore", "pipe"],
  });
  let said = "";
  const { promise, resolve, reject } = Promise.withResolvers<undefined>();
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    said += text;
    if (said.includes("listening on")) resolve(undefined);
  });
  child.once("close", () => reject(new Error(`${name} ended: ${said}`)));
  await promise;
  return child;
}

const failure = async (call: Promise<unknown>): Promise<string> => {
  const error = await call.then(
    (value) => new Error(`it succeeded: ${JSON.stringify(value)}`),
    (reason: unknown) => reason as Error & { readonly code?: number },
  );
  expect(error).toMatchObject({ code: 13 });
  return error.message;
};

const text = (body: string, more: Partial<Answer> = {}, headers = ""): Fault =>
  reply({ status: 200, cookie: undefined, body, ...more }, headers);
const endless =
  (head: string, piece: string): Fault =>
  (socket) => {
    socket.write(head);
    const more = (): void => {
      while (!socket.destroyed && socket.write(piece));
    };
    socket.on("drain", more);
    more();
  };

/** Faults of what is between the two, at any of the requests. */
const ENVIRONMENT: Readonly<Record<string, Fault>> = {
  closes: (socket) => socket.end(),
  resets: (socket) => socket.resetAndDestroy(),
  "closes in a head": (socket) => socket.end("HTTP/1.1 200 O"),
  "closes in a body": (socket) => socket.end('HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{"nonce":"'),
  "sends no HTTP": (socket) => socket.end("\u0016\u0003\u0001garbage\r\n\r\n"),
  "speaks another version of HTTP": (socket) => socket.end("HTTP/3.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"),
  "sends a head without an end": endless("HTTP/1.1 200 OK\r\n", `x: ${"y".repeat(1000)}\r\n`),
  "is a proxy whose broker is away": text("<html>", { status: 502 }),
};

/** Answers that are wrong: asking again does not help. */
const PEER: Readonly<Record<string, Fault>> = {
  "sends no JSON": text("<html>no"),
  "sends nothing": text(""),
  "sends no text": (socket) => void socket.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n\u00ff\u00fe", "latin1"),
  "sends deep JSON": text(`{"nonce":${"[".repeat(50_000)}`),
  "sends deep JSON that ends": text(`{"nonce":"x","token":"x","extra-params":${"[".repeat(100)}${"]".repeat(100)}}`),
  "names a member twice": text('{"nonce":"x","nonce":"x","extra-params":"","token":"x","token":"y","ciphertext":""}'),
  "sends another kind of JSON": text('["nonce"]'),
  "sends a body that is too long": text(`{"nonce":"${"x".repeat(MAX_REPLY)}"}`),
  "sends a body without an end": endless(
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
    `4000\r\n${"x".repeat(0x4000)}\r\n`,
  ),
  fails: text("", { status: 500 }),
  redirects: text("", { status: 307 }, "location: http://127.0.0.1:1/kbs/v0/auth\r\n"),
  "redirects for ever": text("", { status: 301 }, "location: /kbs/v0/resource/a/b/c\r\n"),
};

/** What nobody may find in a message or a log. */
function nothingLeaks(messages: readonly string[]): void {
  const all = [guest.said, ...messages].join("\n");
  expect(all).not.toMatch(/eyJ|PRIVATE KEY|Bearer|kbs-session-id=/u);
  expect(all).not.toContain(SECRET);
  expect(all).not.toContain(Buffer.from(SECRET).toString("base64"));
  // What the broker sent is not repeated.
  expect(all).not.toMatch(/<html>|garbage|\[\[\[|xxxxxxxx/u);
}

describe.each(["auth", "attest", "resource"] as const)("at its %s a broker that", (asked) => {
  it("fails once is asked again, and the resource comes", async () => {
    for (const [name, fault] of Object.entries(ENVIRONMENT)) {
      if (asked !== "resource") await guest.token();
      guest.front.heal();
      guest.front.put(asked, fault, 1);
      if (asked !== "resource") expect(await guest.token(), name).toContain('"token":"eyJ');
      expect(await guest.resource(), name).toBe(SECRET);
      // The handshake begins anew; a kept connection that ends without a word counts for nothing, and is replaced at once.
      const count = (one: Asked): number => guest.front.requests.filter((each) => each === one).length;
      expect(count("resource"), name).toBe(asked === "resource" ? 2 : 1);
      expect(count("auth"), name).toBeLessThanOrEqual(2);
      expect(count("attest"), name).toBeLessThanOrEqual(2);
    }
    nothingLeaks([]);
  });

  it.each(["closes"])("%s for ever is asked five times", async (name) => {
    guest.front.put(asked, ENVIRONMENT[name] ?? (() => {}));
    const said = await failure(asked === "resource" ? guest.resource() : guest.token());
    if (asked === "resource") expect(said).toMatch(/^\[CDH\] \[ERROR\]: Get Resource failed/u);
    else expect(said).toBe(SENTENCE);
    expect(guest.front.requests.filter((one) => one === (asked === "resource" ? asked : "auth"))).toHaveLength(TRIES);
    nothingLeaks([said]);
    guest.front.heal();
    expect(await guest.resource()).toBe(SECRET);
  });
});

describe.each(["auth", "attest"] as const)("at its %s a broker that", (asked) => {
  it("answers wrongly is asked once, each time, and rightly the next", async () => {
    const messages: string[] = [];
    for (const [name, fault] of Object.entries(PEER)) {
      guest.front.put(asked, fault);
      messages.push(await failure(guest.token()));
      expect(guest.front.requests, name).toEqual(asked === "auth" ? ["auth"] : ["auth", "attest"]);
      guest.front.heal();
    }
    expect(new Set(messages)).toEqual(new Set([SENTENCE]));
    nothingLeaks(messages);
    expect(await guest.resource()).toBe(SECRET);
  });
});

describe("a resource from a broker that", () => {
  it("answers wrongly is asked for once, each time, and comes the next", async () => {
    const messages: string[] = [];
    for (const [name, fault] of Object.entries({ ...PEER, ...(await badReplies()) })) {
      guest.front.put("resource", fault);
      messages.push(await failure(guest.resource()));
      expect(
        guest.front.requests.filter((one) => one === "resource"),
        name,
      ).toHaveLength(1);
      guest.front.heal();
      expect(await guest.resource(), name).toBe(SECRET);
      guest.front.heal();
    }
    nothingLeaks(messages);
  });

  it("refuses is asked once, and once more with a new token where that may help", async () => {
    const refusal = (variant: string, status = 401): Fault =>
      text(JSON.stringify({ type: `https://github.com/confidential-containers/kbs/errors/${variant}`, detail: "x" }), {
        status,
      });
    await guest.resource();
    for (const [fault, requests] of [
      [refusal("PolicyDeny"), ["resource"]],
      [refusal("PluginInternalError"), ["resource"]],
      [refusal("PluginNotFound", 404), ["resource"]],
      [refusal("TokenVerifierError"), ["resource", "auth", "attest", "resource"]],
      [text("no body of a broker", { status: 401 }), ["resource", "auth", "attest", "resource"]],
    ] as const) {
      guest.front.heal();
      guest.front.put("resource", fault);
      await failure(guest.resource());
      expect(guest.front.requests).toEqual(requests);
    }
    guest.front.heal();
    // A token that the broker does not take any more is replaced, and the resource comes.
    guest.front.put("resource", refusal("TokenVerifierError"), 1);
    expect(await guest.resource()).toBe(SECRET);
    guest.front.heal();
    await failure(guest.resource("kbs:///a/b/denied"));
    expect(guest.front.requests).toEqual(["resource"]);
    nothingLeaks([]);
  });
});

/** Replies that the real broker's is changed to: to another key, by other algorithms, with a byte of each part changed. */
async function badReplies(): Promise<Readonly<Record<string, Fault>>> {
  const other = await TeeKey.generate();
  const changed =
    (change: (parts: Record<string, string>) => Record<string, string>): Fault =>
    (_socket, passed) =>
      passed.on({
        answer: (answer) => ({
          ...answer,
          body: JSON.stringify(change(JSON.parse(answer.body) as Record<string, string>)),
        }),
      });
  const header = (members: object): string => Buffer.from(JSON.stringify(members)).toString("base64url");
  const parts = ["protected", "encrypted_key", "iv", "ciphertext", "tag"] as const;
  return {
    "encrypts to somebody else": text(encryptReply(Buffer.from("for another"), other.publicKey)),
    "encrypts nothing": changed((one) => ({ ...one, protected: header({ alg: "none", enc: "none" }) })),
    "encrypts by a password": changed((one) => ({ ...one, protected: header({ alg: "dir", enc: "A256GCM" }) })),
    "encrypts by RSA1_5": changed((one) => ({ ...one, protected: header({ alg: "RSA1_5", enc: "A256GCM" }) })),
    "leaves the tag out": changed((one) => Object.fromEntries(Object.entries(one).filter(([name]) => name !== "tag"))),
    "adds data of its own": changed((one) => ({ ...one, aad: "eA" })),
    ...Object.fromEntries(
      parts.map((part) => [
        `changes ${part}`,
        changed((one) => {
          const bytes = Buffer.from(one[part] ?? "", "base64url");
          bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1;
          return { ...one, [part]: bytes.toString("base64url") };
        }),
      ]),
    ),
  };
}

describe("a session", () => {
  const cookieOf = (answer: Answer, cookie: string | undefined): Answer => ({ ...answer, cookie });
  const given =
    (cookie: string | undefined): Fault =>
    (_socket, passed) =>
      passed.on({ answer: (answer) => cookieOf(answer, cookie) });

  it("without a cookie, or with one of no session, gets no token", async () => {
    for (const cookie of [undefined, "other=1", "kbs-session-id=", `kbs-session-id=${"0".repeat(32)}`]) {
      guest.front.put("auth", given(cookie));
      await failure(guest.token());
      expect(
        guest.front.requests.filter((one) => one === "auth"),
        String(cookie),
      ).toHaveLength(1);
      guest.front.heal();
    }
    expect(await guest.token()).toContain('"token"');
    nothingLeaks([]);
  });

  it("of somebody else that waits for evidence takes none but for its own nonce", async () => {
    const { cookie } = await beginOther();
    guest.front.put("attest", (_socket, passed) => passed.on({ cookie }));
    await failure(guest.token());
    expect(guest.front.requests).toEqual(["auth", "attest"]);
    guest.front.heal();
    expect(await guest.resource()).toBe(SECRET);
  });

  it("of somebody else that was attested gives that one's token, for which this guest gets nothing", async () => {
    const thief = sampleGuest();
    const { cookie } = await attestAs(broker, thief);
    guest.front.put("auth", given(cookie));
    await guest.token();
    // What the broker sends is for the other's key: nothing that this guest can read, and no secret in the clear.
    guest.front.put("resource", (_socket, passed) => passed.on());
    const said = await failure(guest.resource());
    expect(said).toContain("Get Resource failed");
    nothingLeaks([said]);
    guest.front.heal();
    await guest.token();
    expect(await guest.resource()).toBe(SECRET);
  });

  async function beginOther(): Promise<{ readonly cookie: string }> {
    const answer = await broker.call(
      "POST",
      "/kbs/v0/auth",
      {},
      JSON.stringify({ version: "0.4.0", tee: "sample", "extra-params": "" }),
    );
    return { cookie: (answer.headers["set-cookie"] ?? "").split(";")[0] ?? "" };
  }
});

describe("a broker that stalls", () => {
  it.each(["auth", "attest"] as const)("at its %s holds nobody up who does not need it", async (asked) => {
    const one = guest;
    const stalled = Promise.withResolvers<undefined>();
    one.front.put(asked, () => stalled.resolve(undefined), 1);
    const waiting = Promise.all([one.token(), one.token(), one.resource()]);
    await stalled.promise;
    expect(await one.evidence()).toContain("report_data");
    const late = await one.resource("kbs:///a/b/c", 300).catch((error: unknown) => error);
    expect(late).toMatchObject({ code: 4 });
    // Those who wait share one handshake, and have their token when the connection breaks.
    const before = one.front.requests.filter((each: Asked) => each === "auth").length;
    expect(before).toBe(1);
    one.front.heal();
    const [first, second, secret] = await waiting;
    expect(first).toBe(second);
    expect(secret).toBe(SECRET);
  });

  it("at a resource is left when its caller goes, and asked by the next", async () => {
    const one = guest;
    one.front.put("resource", () => {});
    const late = await one.resource("kbs:///a/b/c", 500).catch((error: unknown) => error);
    expect(late).toMatchObject({ code: 4 });
    one.front.heal();
    expect(await one.resource()).toBe(SECRET);
    nothingLeaks([]);
  });
});
