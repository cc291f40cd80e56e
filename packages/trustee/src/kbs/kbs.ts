import { createHash, randomBytes } from "node:crypto";

import {
  deviceRuntimeData,
  encryptReply,
  parseAttestRequest,
  parseAuthRequest,
  parseTee,
  primaryRuntimeData,
  RCAR_VERSION,
  SESSION_COOKIE,
} from "@nacre/kbs-protocol";
import { stringifyLossless } from "@nacre/protocols";

import type { Appraising, VerificationRequest } from "../attestation/attestation-service.ts";
import { errorText, oneLine, TrusteeError } from "../error.ts";
import { decodeBase64, FieldReader, type Fields, isFields } from "../fields.ts";
import { parseJson, parseJsonBytes } from "../json.ts";
import type { ReferenceValueStore } from "../rvps/reference-values.ts";
import { type Admin, bearerToken } from "./admin.ts";
import type { AuditEvent, AuditLog } from "./audit.ts";
import { KbsFailure } from "./kbs-failure.ts";
import type { Metrics } from "./metrics.ts";
import { cookieValue, JSON_TYPE, type KbsReply, type KbsRequest, reply, type Route, routeOf } from "./request.ts";
import type { ResourcePlugin } from "./resource-plugin.ts";
import type { PolicyDecision, ResourcePolicy } from "./resource-policy.ts";
import type { Session, Sessions } from "./session.ts";
import type { TokenVerifier, VerifiedToken } from "./token-verifier.ts";

export interface KbsParts {
  /** Absent: this broker makes no handshakes, but takes tokens of another's. */
  readonly attestation?: {
    readonly service: Appraising;
    readonly referenceValues: ReferenceValueStore;
    /** Tokens are made in this process, with a key that is trusted. */
    readonly own: boolean;
  };
  readonly sessions: Sessions;
  readonly tokens: TokenVerifier;
  readonly admin: Admin;
  readonly policy: ResourcePolicy;
  /** Absent: the plugin is not enabled. */
  readonly resources?: ResourcePlugin;
  readonly metrics: Metrics;
  readonly audit: AuditLog;
  readonly log: (line: string) => void;
}

const METHODS = ["GET", "POST", "PUT", "DELETE"];
const NONCE_BYTES = 32;
/** Kinds of evidence whose challenge this service cannot make. */
const NO_CHALLENGE: ReadonlySet<string> = new Set(["se"]);
const SEMVER = /^(\d+\.\d+\.\d+)(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$/u;

/**
 * The broker: the handshake, resources, and their administration (spec trustee 1). Every failure is told to the client as
 * upstream tells it; what was behind it goes to the log and, where somebody asked for something, to the audit log.
 */
export class Kbs {
  readonly #parts: KbsParts;

  constructor(parts: KbsParts) {
    this.#parts = parts;
  }

  async handle(request: KbsRequest): Promise<KbsReply> {
    const { metrics } = this.#parts;
    const [path] = request.target.split("?", 1);
    if (path === "/healthz") return request.method === "GET" ? reply(200) : reply(404);
    if (path === "/metrics") return request.method === "GET" ? reply(200, metrics.text()) : reply(405);
    const route = routeOf(request.target);
    if (route === undefined) return reply(404);
    if (!METHODS.includes(request.method)) return { ...reply(405), headers: { allow: METHODS.join(", ") } };
    try {
      return await this.#route(request, route);
    } catch (error) {
      const failure =
        error instanceof KbsFailure ? error : new KbsFailure("PluginInternalError", "Plugin internal error", error);
      this.#parts.log(oneLine(`${request.method} ${route.name}: ${errorText(failure)}`));
      const { status, body } = failure.reply;
      return reply(status, body);
    }
  }

  #route(request: KbsRequest, route: Route): Promise<KbsReply> {
    switch (`${request.method} ${route.name}`) {
      case "POST auth":
        return this.#auth(request);
      case "POST attest":
        return this.#attest(request);
      case "POST attestation-policy":
        return this.#setAttestationPolicy(request, route);
      case "POST resource-policy":
        return this.#setResourcePolicy(request, route);
      case "GET resource-policy":
        return this.#listResourcePolicies(request, route);
      case "POST reference-value":
        return this.#registerReferenceValue(request, route);
      case "GET reference-value":
        return this.#readReferenceValue(request, route);
      case "DELETE reference-value":
        return this.#deleteReferenceValue(request, route);
      default:
        return this.#plugin(request, route);
    }
  }

  async #auth(request: KbsRequest): Promise<KbsReply> {
    const { metrics, sessions } = this.#parts;
    metrics.count("kbs_auth_requests_total");
    try {
      this.#attestation();
      const { version, tee } = parseAuth(request.body);
      expectVersion(version);
      if (NO_CHALLENGE.has(tee)) throw new Error("Attestation Service generate challenge failed");
      const session = await sessions.begin(tee, randomBytes(NONCE_BYTES).toString("base64"));
      metrics.count("kbs_auth_successes_total");
      this.#audit({ event: "auth", outcome: "allowed", session: session.id, tee });
      return this.#withCookie(session, JSON.stringify({ nonce: session.nonce, "extra-params": "" }));
    } catch (error) {
      metrics.count("kbs_auth_errors_total");
      const why = error instanceof TrusteeError ? "session storage" : error instanceof Error ? error.message : "";
      throw new KbsFailure("AttestationError", `Attestation error: RCAR handshake Auth failed: ${why}`, error);
    }
  }

  async #attest(request: KbsRequest): Promise<KbsReply> {
    const { metrics, sessions } = this.#parts;
    metrics.count("kbs_attestation_requests_total");
    let session: Session | undefined;
    try {
      session = await sessions.find(cookieValue(request.cookie, SESSION_COOKIE) ?? "");
      if (session === undefined) throw new TrusteeError("request", "attest: expected the cookie of a session");
      const token = session.token ?? (await this.#verifyEvidence(session, request.body));
      // Even who has a token already must ask for it in JSON.
      if (session.token !== undefined) parseJsonBytes(request.body, "attest request", "request");
      return this.#withCookie(session, JSON.stringify({ token }));
    } catch (error) {
      metrics.count("kbs_attestation_errors_total");
      if (session !== undefined) metrics.count("kbs_attestation_failures_total", session.tee);
      this.#audit({
        event: "attest",
        outcome: "refused",
        session: session?.id,
        tee: session?.tee,
        reason: errorText(error),
      });
      throw new KbsFailure("AttestationError", "Attestation error: RCAR handshake Attest failed", error);
    }
  }

  /** Resolves with the token, once the session has it. */
  async #verifyEvidence(session: Session, body: Buffer): Promise<string> {
    const { service, own } = this.#attestation();
    const request = parseAttestRequest(utf8(body));
    const runtime = request["runtime-data"];
    if (runtime.nonce !== session.nonce) throw new TrusteeError("mismatch", "attest: expected the session's nonce");
    const evidence = request["tee-evidence"];
    const initdata = request["init-data"];
    if (initdata !== null && initdata.format !== "toml")
      throw new TrusteeError("request", "attest: expected initdata of the format toml");
    const primary: VerificationRequest = {
      tee: session.tee,
      evidence: evidence.primary_evidence,
      runtimeData: primaryRuntimeData(runtime, evidence.additional_evidence) as unknown as Fields,
      ...(initdata === null ? {} : { initData: initdata.body }),
    };
    const devices = additional(evidence.additional_evidence).map(([name, value]): VerificationRequest => {
      const tee = parseTee(name);
      if (tee === undefined)
        throw new TrusteeError("request", `attest: no kind of evidence is called ${JSON.stringify(name.slice(0, 40))}`);
      return { tee, evidence: value, runtimeData: deviceRuntimeData(runtime) as unknown as Fields };
    });
    const { token, findings } = await service.evaluate([primary, ...devices], ["default"]);
    if (own) this.#parts.tokens.issuedHere(token);
    await this.#parts.sessions.attested(session, token);
    this.#parts.metrics.count("kbs_attestation_successes_total", session.tee);
    const { id, tee } = session;
    const digests = { evidence: sha256(stringifyLossless(evidence)), token: sha256(token) };
    this.#audit({ event: "attest", outcome: "allowed", session: id, tee, ...digests, findings });
    return token;
  }

  async #setAttestationPolicy(request: KbsRequest, route: Route): Promise<KbsReply> {
    return await this.#administer(request, route, async () => {
      try {
        const reader = bodyFields(request.body, "attestation policy");
        await this.#attestation().service.setPolicy(reader.text("policy_id"), policyText(reader));
        return reply(200);
      } catch (error) {
        throw new KbsFailure("AttestationError", "Attestation error: Set Attestation Policy failed", error);
      }
    });
  }

  async #setResourcePolicy(request: KbsRequest, route: Route): Promise<KbsReply> {
    return await this.#administer(request, route, async () => {
      try {
        await this.#parts.policy.set(policyText(bodyFields(request.body, "resource policy")));
        return reply(200);
      } catch (error) {
        const why = error instanceof TrusteeError && error.code !== "storage" ? error.message : "storage";
        throw new KbsFailure("ParsePolicyError", `Failed to parse policy: ${why}`, error);
      }
    });
  }

  async #listResourcePolicies(request: KbsRequest, route: Route): Promise<KbsReply> {
    return await this.#administer(request, route, async () =>
      reply(200, JSON.stringify(await this.#parts.policy.list()), JSON_TYPE),
    );
  }

  async #registerReferenceValue(request: KbsRequest, route: Route): Promise<KbsReply> {
    return await this.#administer(request, route, async () => {
      try {
        await this.#attestation().referenceValues.register(utf8(request.body));
        return reply(200, "", JSON_TYPE);
      } catch (error) {
        const text = "Failed to register reference value: register reference value";
        throw new KbsFailure("RvpsError", `RVPS configuration failed: ${text}`, error);
      }
    });
  }

  async #readReferenceValue(request: KbsRequest, route: Route): Promise<KbsReply> {
    return await this.#administer(request, route, async () => {
      const name = route.path.join("/");
      try {
        // Upstream has no list, and refuses the empty name.
        const values = this.#attestation().referenceValues;
        const found = name === "" ? await values.list() : await values.query(name);
        if (found === undefined) throw new Error(`No reference value found for the given id: ${name}`);
        return reply(200, stringifyLossless(found), JSON_TYPE);
      } catch (error) {
        const why =
          error instanceof TrusteeError || !(error instanceof Error) ? "query reference values" : error.message;
        throw new KbsFailure("RvpsError", `RVPS configuration failed: Failed to get reference_values: ${why}`, error);
      }
    });
  }

  async #deleteReferenceValue(request: KbsRequest, route: Route): Promise<KbsReply> {
    return await this.#administer(request, route, async () => {
      const name = route.path.join("/");
      try {
        if (!(await this.#attestation().referenceValues.delete(name)))
          throw new Error(`No reference value found for the given id: ${name}`);
        return reply(200);
      } catch (error) {
        const why =
          error instanceof TrusteeError || !(error instanceof Error) ? "delete reference value" : error.message;
        throw new KbsFailure("RvpsError", `RVPS configuration failed: Failed to delete reference value: ${why}`, error);
      }
    });
  }

  /** Does what only administrators may, and writes down who did. */
  async #administer(request: KbsRequest, route: Route, work: () => Promise<KbsReply>): Promise<KbsReply> {
    const entry = { event: "admin", method: request.method, endpoint: [route.name, ...route.path].join("/") } as const;
    let role: string;
    try {
      role = await this.#parts.admin.authorize(request.authorization, request.target);
    } catch (error) {
      this.#audit({ ...entry, outcome: "refused", reason: errorText(error) });
      const text = error instanceof Error ? error.message : "";
      // Plugins' refusals carry another name than those of the built-in endpoints.
      throw route.name === "resource"
        ? new KbsFailure("AdminAuthInitialization", `failed to initialize [admin] configuration: ${text}`)
        : new KbsFailure("AdminAuthAccess", `admin access denied for endpoint ${route.name}: ${text}`);
    }
    try {
      const done = await work();
      this.#audit({ ...entry, outcome: "allowed", role });
      return done;
    } catch (error) {
      this.#audit({ ...entry, outcome: "refused", role, reason: errorText(error) });
      throw error;
    }
  }

  async #plugin(request: KbsRequest, route: Route): Promise<KbsReply> {
    const { resources, metrics } = this.#parts;
    if (route.name !== "resource" || resources === undefined) {
      throw new KbsFailure("PluginNotFound", `Plugin ${route.name} not found`);
    }
    const path = route.path.join("/");
    switch (request.method) {
      case "POST":
        return await this.#administer(request, route, async () => {
          await this.#asked(route, resources.write(route.path, request.body));
          metrics.count("kbs_resource_writes_total", path);
          return reply(200, "", "text/xml");
        });
      case "DELETE":
        return await this.#administer(request, route, async () => {
          await this.#asked(route, resources.delete(route.path));
          metrics.count("kbs_resource_deletes_total", path);
          return reply(200, "", "text/xml");
        });
      default:
        return await this.#readResource(request, route, resources);
    }
  }

  async #readResource(request: KbsRequest, route: Route, resources: ResourcePlugin): Promise<KbsReply> {
    const { metrics, tokens } = this.#parts;
    const entry = { event: "resource", path: route.path.join("/") } as const;
    let about: Record<string, unknown> = {};
    let secret: Buffer | undefined;
    try {
      const { token, session } = await this.#verifiedToken(request);
      about = { ...(session === undefined ? {} : { session }), ...shownClaims(token) };
      const decision = await this.#decide(route, token.claims);
      about = { ...about, policy: decision.digest };
      if (!decision.allowed) throw new KbsFailure("PolicyDeny", "Access denied by policy");
      // What GET alone does, as with upstream.
      if (request.method !== "GET") throw new TrusteeError("request", "resource: expected GET, POST or DELETE");
      secret = await this.#asked(route, resources.read(route.path));
      const body = encrypt(secret, () => tokens.teeKey(token.claims));
      metrics.count("kbs_resource_reads_total", entry.path);
      this.#audit({ ...entry, ...about, outcome: "allowed" });
      return reply(200, body, JSON_TYPE);
    } catch (error) {
      this.#audit({ ...entry, ...about, outcome: "refused", reason: errorText(error) });
      throw error;
    } finally {
      secret?.fill(0);
    }
  }

  /** Counts what a plugin was asked, once the request was allowed. */
  async #asked<T>({ name }: Route, work: Promise<T>): Promise<T> {
    const { metrics } = this.#parts;
    const start = performance.now();
    metrics.count("kbs_plugin_requests_total", name);
    try {
      return await work;
    } catch (error) {
      metrics.count("kbs_plugin_errors_total", name);
      throw error;
    } finally {
      metrics.observe("kbs_plugin_request_duration_seconds", (performance.now() - start) / 1000, name);
    }
  }

  async #decide(route: Route, claims: Fields): Promise<PolicyDecision> {
    const { metrics, policy } = this.#parts;
    metrics.count("kbs_policy_evaluations_total");
    try {
      const decision = await policy.decide(
        { plugin: route.name, path: route.path, query: route.query },
        stringifyLossless(claims),
      );
      metrics.count(decision.allowed ? "kbs_policy_approvals_total" : "kbs_policy_violations_total");
      return decision;
    } catch (error) {
      metrics.count("kbs_policy_errors_total");
      // Upstream sends the policy's line along.
      throw new KbsFailure("PolicyEngineError", "Policy engine error: Failed to eval policy", error);
    }
  }

  /** The session's token comes first, then the bearer's; either is verified. */
  async #verifiedToken(
    request: KbsRequest,
  ): Promise<{ readonly token: VerifiedToken; readonly session: string | undefined }> {
    const session = await this.#parts.sessions.find(cookieValue(request.cookie, SESSION_COOKIE) ?? "");
    const token = session?.token ?? bearerToken(request.authorization);
    if (token === undefined) throw new KbsFailure("TokenNotFound", "Attestation Token not found");
    try {
      const verified = await this.#parts.tokens.verify(token);
      this.#parts.tokens.teeKey(verified.claims);
      return { token: verified, session: session?.token === undefined ? undefined : session.id };
    } catch (error) {
      throw new KbsFailure("TokenVerifierError", "Token Verifier error", error);
    }
  }

  #attestation(): NonNullable<KbsParts["attestation"]> {
    const { attestation } = this.#parts;
    if (attestation === undefined) throw new KbsFailure("PluginNotFound", "attestation is not enabled");
    return attestation;
  }

  #withCookie(session: Session, body: string): KbsReply {
    const expires = new Date(session.expires).toUTCString();
    return {
      status: 200,
      headers: { "content-type": JSON_TYPE, "set-cookie": `${SESSION_COOKIE}=${session.id}; Expires=${expires}` },
      body,
    };
  }

  #audit(event: AuditEvent): void {
    this.#parts.audit.write(event);
  }
}

function parseAuth(body: Buffer): { readonly version: string; readonly tee: Session["tee"] } {
  try {
    return parseAuthRequest(utf8(body));
  } catch (cause) {
    throw new Error("deserialize Request", { cause });
  }
}

/** The one version; what is built from it, behind a plus sign, does not matter (semantic versions). */
function expectVersion(version: string): void {
  const [, release, prerelease = ""] = SEMVER.exec(version) ?? [];
  if (release === undefined) throw new Error("failed to parse KBS version");
  if (release === RCAR_VERSION && prerelease === "") return;
  throw new Error(`KBS Client Protocol Version Mismatch: expect =${RCAR_VERSION} while the request is ${version}`);
}

function additional(text: string): readonly (readonly [string, unknown])[] {
  if (text === "") return [];
  const value = parseJson(text, "additional evidence", "request");
  if (!isFields(value)) throw new TrusteeError("request", "additional evidence: expected an object");
  return Object.entries(value);
}

function bodyFields(body: Buffer, what: string): FieldReader {
  return new FieldReader(parseJsonBytes(body, what, "request"), what, "request");
}

const MAX_POLICY = 4 * 1024 * 1024;

function policyText(reader: FieldReader): string {
  return utf8(decodeBase64(reader.text("policy"), MAX_POLICY, () => "policy", "request"));
}

function encrypt(secret: Buffer, key: () => ReturnType<TokenVerifier["teeKey"]>): string {
  try {
    return encryptReply(secret, key());
  } catch (error) {
    throw new KbsFailure("JweError", "JWE failed", error);
  }
}

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

/** What the audit log says of a token: which it was, and how each device stood. */
function shownClaims({ claims, digest }: VerifiedToken): Record<string, unknown> {
  const submods = isFields(claims["submods"]) ? claims["submods"] : {};
  const status = Object.fromEntries(
    Object.entries(submods).map(([name, part]) => [name, isFields(part) ? part["ear.status"] : undefined]),
  );
  return { token: digest, issuer: claims["iss"], issued: claims["iat"], status };
}

function utf8(bytes: Buffer): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new TrusteeError("request", "request: expected UTF-8", { cause });
  }
}
