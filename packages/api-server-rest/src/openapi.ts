import { REASON_STATUS } from "./failure-reply.ts";
import type { Feature } from "./options.ts";
import { VERSION } from "./version.ts";

type ContentType = "application/json" | "application/octet-stream";

/** One answer: what it means, and its type; errors of upstream's have none. */
interface Answer {
  readonly description: string;
  readonly type?: ContentType;
}

/** One parameter of a query. */
interface Parameter {
  readonly name: string;
  readonly description: string;
  readonly required?: true;
  readonly values?: readonly string[];
}

export interface Operation {
  readonly path: string;
  readonly method: "get" | "post";
  readonly summary: string;
  /** The feature that has it; undefined: always. */
  readonly feature?: Exclude<Feature, "all">;
  readonly parameters: readonly Parameter[];
  readonly body?: true;
  readonly answers: Readonly<Record<number, Answer>>;
}

const OCTETS: Answer = { description: "The bytes.", type: "application/octet-stream" };
const DETAILED: Parameter = {
  name: "errors",
  description: "With `detailed`, a failure's status says why.",
  values: ["detailed"],
};
const PLACE: Readonly<Record<number, Answer>> = {
  403: { description: "The caller is not on this machine, or with `errors=detailed`: the broker refused." },
  404: { description: "This feature is off, or with `errors=detailed`: there is none." },
  500: { description: "It failed; the guest's log says why." },
  [REASON_STATUS.UNREACHABLE ?? 502]: {
    description: "With `errors=detailed`: who has it could not be asked.",
    type: "application/json",
  },
};
const EVIDENCE: readonly Parameter[] = [
  { name: "runtime_data", description: "What the evidence is to hold.", required: true },
  {
    name: "encoding",
    description: "How that is encoded: `base64` is the url-safe kind without padding. Default: not.",
    values: ["base64"],
  },
  DETAILED,
];
const BAD: Answer = { description: "A parameter is missing or not what it should be." };

/** What containers are offered; the document and its test are made from it. */
export const OPERATIONS: readonly Operation[] = [
  {
    path: "/cdh/resource/{repository}/{type}/{tag}",
    method: "get",
    summary: "A resource of the key broker",
    feature: "resource",
    parameters: [DETAILED],
    answers: { 200: OCTETS, ...PLACE },
  },
  {
    path: "/aa/token",
    method: "get",
    summary: "A token with the key that it is bound to",
    feature: "attestation",
    parameters: [
      { name: "token_type", description: "Whose token.", required: true, values: ["kbs", "coco_as"] },
      DETAILED,
    ],
    answers: { 200: OCTETS, 400: BAD, ...PLACE },
  },
  {
    path: "/aa/evidence",
    method: "get",
    summary: "Evidence of the guest",
    feature: "attestation",
    parameters: EVIDENCE,
    answers: { 200: OCTETS, 400: BAD, ...PLACE },
  },
  {
    path: "/aa/additional-evidence",
    method: "get",
    summary: "Evidence of the guest's devices; empty where there are none",
    feature: "attestation",
    parameters: EVIDENCE,
    answers: { 200: OCTETS, 400: BAD, ...PLACE },
  },
  {
    path: "/aa/aael",
    method: "post",
    summary: "Puts an event into the guest's measured log",
    feature: "attestation",
    parameters: [DETAILED],
    body: true,
    answers: {
      200: { description: "`success` is `true`, or `false` with a message.", type: "application/json" },
      ...PLACE,
    },
  },
  {
    path: "/info",
    method: "get",
    summary: "What this server and the guest are",
    parameters: [],
    answers: {
      200: { description: "Version, TEE, devices, feature.", type: "application/json" },
      403: { description: "The caller is not on this machine." },
    },
  },
];

/** The OpenAPI document of the server. */
export function openApiDocument(): object {
  return {
    openapi: "3.0.3",
    info: {
      title: "api-server-rest",
      version: VERSION,
      description: "What containers of the pod reach of the guest components, on 127.0.0.1:8006.",
    },
    paths: Object.fromEntries(OPERATIONS.map((one) => [one.path, { [one.method]: operation(one) }])),
  };
}

function operation({ path, summary, feature, parameters, body, answers }: Operation): object {
  const segments = [...path.matchAll(/\{(\w+)\}/gu)].map(([, name]) => ({
    name,
    in: "path",
    required: true,
    schema: { type: "string" },
  }));
  const queries = parameters.map(({ name, description, required, values }) => ({
    name,
    in: "query",
    description,
    required: required === true,
    schema: { type: "string", ...(values === undefined ? {} : { enum: values }) },
  }));
  return {
    summary,
    ...(feature === undefined ? {} : { tags: [feature] }),
    parameters: [...segments, ...queries],
    ...(body === undefined ? {} : { requestBody: { required: true, content: { "application/json": EVENT } } }),
    responses: Object.fromEntries(
      Object.entries(answers).map(([status, { description, type }]) => [
        status,
        { description, ...(type === undefined ? {} : { content: { [type]: {} } }) },
      ]),
    ),
  };
}

const EVENT = {
  schema: {
    type: "object",
    required: ["domain", "operation", "content"],
    properties: Object.fromEntries(["domain", "operation", "content"].map((name) => [name, { type: "string" }])),
  },
};

/** The document's text, as it lies in `gen/`. */
export function openApiText(): string {
  return `${JSON.stringify(openApiDocument(), undefined, 2)}\n`;
}
