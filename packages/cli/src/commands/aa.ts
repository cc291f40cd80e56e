import {
  AttestationAgentService,
  type Init,
  type MethodDescriptor,
  RuntimeMeasurementResult,
  stringifyLossless,
} from "@nacre/protocols";
import { RpcError } from "@nacre/ttrpc";

import { json } from "../attest/ask-agent.ts";
import { agentOfGuest, dialAgent } from "../attest/guest-agent.ts";
import { type Command, command, type Flag } from "../command.ts";
import { type Context, print } from "../context.ts";
import { NacreError } from "../error.ts";
import { selectGuest } from "../select.ts";
import { visible, visibleJson, visibleLine } from "../visible.ts";

/** As upstream's client. A handshake may take longer, where devices do. */
const TIMEOUT_MS = 5000;
const TOKEN_TIMEOUT_MS = 120_000;

const { ExtendRuntimeMeasurement, GetAdditionalEvidence, GetAdditionalTees, GetEvidence, GetTeeType, GetToken } =
  AttestationAgentService.methods;

const WHERE: Readonly<Record<"address" | "guest", Flag & { readonly type: "string" }>> = {
  guest: { type: "string", value: "GUEST", help: "whose agent; default: the only guest's" },
  address: { type: "string", value: "URL", help: "an agent anywhere: unix://, hvsock://" },
};
type Where = Readonly<Record<"address" | "guest", string | undefined>>;

/** What all of them have. */
const ASKS = {
  usage: "",
  details: `
The agent of a devkit guest, simulated or a virtual machine, listens for the machine that the guest runs on; those of the
other flavours do not. --address takes a socket wherever it is.`,
  arity: { min: 0, max: 0 },
} as const;

export const aaTee: Command = command({
  ...ASKS,
  name: "aa get-tee",
  summary: "Ask a guest's attestation agent on what it runs",
  flags: WHERE,
  async run({ flags }, context) {
    const { tee } = await call(flags, context, GetTeeType, {});
    const { additional_tees: devices } = await call(flags, context, GetAdditionalTees, {});
    print(context, { tee, devices }, [tee, ...devices].map(visibleLine).join("\n"));
  },
});

export const aaEvidence: Command = command({
  ...ASKS,
  name: "aa get-evidence",
  summary: "Print evidence of a guest, as JSON",
  flags: {
    ...WHERE,
    "runtime-data": { type: "string", short: "r", value: "BASE64", help: "what it is to hold; default: nothing" },
    additional: { type: "boolean", help: "that of devices" },
  },
  async run({ flags }, context) {
    const RuntimeData = base64("--runtime-data", flags["runtime-data"] ?? "");
    const method = flags.additional ? GetAdditionalEvidence : GetEvidence;
    const { Evidence } = await call(flags, context, method, { RuntimeData });
    const evidence = Evidence.length === 0 ? null : json(Evidence);
    print(context, evidence, evidence === null ? "" : visibleJson(stringifyLossless(evidence)));
  },
});

export const aaToken: Command = command({
  ...ASKS,
  name: "aa get-token",
  summary: "Print a token of a guest, with the key that it is bound to",
  flags: {
    ...WHERE,
    type: { type: "string", short: "t", value: "TYPE", help: "kbs (default) or coco_as" },
    fresh: { type: "boolean", help: "made now, not the one that is kept" },
    claims: { type: "boolean", help: "what the token says, without the token and the key" },
  },
  async run({ flags }, context) {
    const request = { TokenType: flags.type ?? "kbs", ...(flags.fresh ? { fresh: true } : {}) };
    const { Token } = await call(flags, context, GetToken, request, TOKEN_TIMEOUT_MS);
    const text = Buffer.from(Token).toString();
    if (!flags.claims) {
      print(context, { token: text }, visible(text));
      return;
    }
    const claims = claimsOf(text);
    print(context, claims, visibleJson(JSON.stringify(claims, undefined, 2)));
  },
});

export const aaExtend: Command = command({
  ...ASKS,
  name: "aa extend-runtime-measurement",
  summary: "Put an event into a guest's measured log",
  flags: {
    ...WHERE,
    domain: { type: "string", short: "d", value: "WORD", help: "whose event it is" },
    operation: { type: "string", short: "o", value: "WORD", help: "what was done" },
    content: { type: "string", short: "c", value: "TEXT", help: "with what" },
    pcr: { type: "string", short: "p", value: "N", help: "the register; default: the configured one" },
  },
  async run({ flags }, context) {
    const { content, domain, operation, pcr } = flags;
    if (domain === undefined || operation === undefined || content === undefined) {
      throw new NacreError("usage", "aa extend-runtime-measurement: expected --domain, --operation and --content");
    }
    if (pcr !== undefined && !/^\d{1,2}$/u.test(pcr)) throw new NacreError("usage", "--pcr: expected a number");
    const request = {
      Domain: domain,
      Operation: operation,
      Content: content,
      ...(pcr === undefined ? {} : { RegisterIndex: BigInt(pcr) }),
    };
    const { Result } = await call(flags, context, ExtendRuntimeMeasurement, request);
    const result =
      Object.entries(RuntimeMeasurementResult).find(([, value]) => value === Result)?.[0] ?? String(Result);
    print(context, { result }, result);
    return Result === RuntimeMeasurementResult.OK ? 0 : 1;
  },
});

async function call<Req, Res>(
  { address, guest }: Where,
  { interrupts: { signal } }: Context,
  method: MethodDescriptor<Req, Res>,
  request: Init<Req>,
  timeoutMs = TIMEOUT_MS,
): Promise<Res> {
  const url = address ?? agentOfGuest(selectGuest(guest));
  const client = await dialAgent(url, TIMEOUT_MS, signal);
  try {
    return await client.call(method, request, { timeoutMs, signal });
  } catch (cause) {
    if (!(cause instanceof RpcError)) throw cause;
    throw new NacreError("agent", `${cause.message} (the guest's log says why)`, { cause });
  } finally {
    client.close();
  }
}

function base64(flag: string, text: string): Buffer {
  const bytes = Buffer.from(text, "base64");
  if (bytes.toString("base64") !== text) throw new NacreError("usage", `${flag}: expected base64`);
  return bytes;
}

/** Not verified: a guest's token is the broker's to judge. Throws NacreError `agent`. */
function claimsOf(text: string): unknown {
  try {
    const { token } = (text.startsWith("{") ? JSON.parse(text) : { token: text }) as { token: string };
    return JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString()) as unknown;
  } catch (cause) {
    throw new NacreError("agent", "expected a token with claims", { cause });
  }
}
