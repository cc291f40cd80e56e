import { mkdtempSync, rmSync } from "node:fs";
import { type IncomingHttpHeaders, request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { AttestationAgentService, Code, GetResourceService } from "@nacre/protocols";
import { type Handlers, RpcError, TtrpcServer } from "@nacre/ttrpc";
import { listen } from "@nacre/vsock";

import { Component, type Feature, type HttpServerOptions, type RestServer, Router, serveHttp } from "../src/index.ts";

const TOKEN = '{"token":"<JWT>","tee_keypair":"<PEM>"}';
const refused = (): never => {
  throw new RpcError(Code.INTERNAL, "refused");
};

/** An attestation agent as the recorded one was: sample evidence, no event log. */
export const AGENT: Partial<Handlers<typeof AttestationAgentService>> = {
  GetToken: ({ TokenType }) => (TokenType === "kbs" ? { Token: Buffer.from(TOKEN) } : refused()),
  GetEvidence: ({ RuntimeData }) => ({
    Evidence: Buffer.from(JSON.stringify({ report_data: Buffer.from(RuntimeData).toString("base64"), svn: "1" })),
  }),
  GetAdditionalEvidence: () => ({ Evidence: Buffer.alloc(0) }),
  ExtendRuntimeMeasurement: () => ({ Result: 2 }),
  GetTeeType: () => ({ tee: "sample" }),
  GetAdditionalTees: () => ({ additional_tees: [] }),
};

/** A data hub whose broker has two resources. */
export const HUB: Handlers<typeof GetResourceService> = {
  GetResource: ({ ResourcePath }) => {
    const path = new URL(ResourcePath).pathname.replace("%61", "a");
    if (path === "/repo/type/tag") return { Resource: Buffer.from("golden-secret") };
    return path === "/repo/type/empty" ? { Resource: Buffer.alloc(0) } : refused();
  },
};

export interface HttpReply {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** The server with the two components behind it, each of which can go and come back. */
export class Harness implements AsyncDisposable {
  readonly errors: string[] = [];
  readonly #folder = mkdtempSync(join(tmpdir(), "nacre-asr-"));
  readonly #running = new Map<string, () => Promise<void>>();
  readonly #components: Component[] = [];
  #server: RestServer | undefined;

  static async start(
    feature: Feature,
    limits: Omit<HttpServerOptions, "host" | "port" | "reply"> = {},
  ): Promise<Harness> {
    const harness = new Harness();
    const component = (name: string, called: string): Component => {
      const made = new Component(`unix://${harness.#folder}/${name}`, called);
      harness.#components.push(made);
      return made;
    };
    const router = new Router({
      feature,
      agent: component("aa", "Attestation Agent"),
      hub: component("cdh", "CDH"),
      onError: (path, error) => harness.errors.push(`${path} ${String(error)}`),
    });
    const reply: HttpServerOptions["reply"] = (request) => router.reply(request);
    harness.#server = await serveHttp({ host: "127.0.0.1", port: 0, reply, ...limits });
    await harness.agent(AGENT);
    await harness.hub(HUB);
    return harness;
  }

  get port(): number {
    return this.#server?.port ?? 0;
  }

  async agent(handlers: Partial<Handlers<typeof AttestationAgentService>> | undefined): Promise<void> {
    await this.#replace("aa", handlers, (server, given) => server.addService(AttestationAgentService, given));
  }

  async hub(handlers: Handlers<typeof GetResourceService> | undefined): Promise<void> {
    await this.#replace("cdh", handlers, (server, given) => server.addService(GetResourceService, given));
  }

  /** The path as it is: nothing is normalised. */
  async send(
    method: string,
    path: string,
    body?: string,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<HttpReply> {
    return await new Promise((resolve, reject) => {
      const length = body === undefined ? {} : { "content-length": String(Buffer.byteLength(body)) };
      const outgoing = request(
        { host: "127.0.0.1", port: this.port, method, path, headers: { ...headers, ...length }, agent: false },
        (response) => {
          let text = "";
          response.setEncoding("utf8").on("data", (part: string) => (text += part));
          response.once("end", () =>
            resolve({ status: response.statusCode ?? 0, headers: response.headers, body: text }),
          );
        },
      );
      outgoing.once("error", reject);
      outgoing.end(body);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const component of this.#components) component.close();
    await this.#server?.close();
    for (const stop of this.#running.values()) await stop();
    rmSync(this.#folder, { recursive: true });
  }

  async #replace<T>(
    name: string,
    handlers: T | undefined,
    add: (server: TtrpcServer, given: T) => unknown,
  ): Promise<void> {
    await this.#running.get(name)?.();
    this.#running.delete(name);
    if (handlers === undefined) return;
    const server = new TtrpcServer();
    add(server, handlers);
    const listener = await listen(`unix://${this.#folder}/${name}`, (transport) => void server.serve(transport));
    this.#running.set(name, async () => {
      await Promise.all([listener.close(), server.close({ graceMs: 0 })]);
    });
  }
}
