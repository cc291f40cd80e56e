import { explanationLines } from "@nacre/agent-policy";

import { type Command, command } from "../command.ts";
import { print } from "../context.ts";
import { NacreError } from "../error.ts";
import { readInput } from "../input-file.ts";
import { askPolicy, askRecorded, loadPolicy } from "../policy.ts";
import { readRequests, type RecordedRequest } from "../policy-requests.ts";

export const policyExplain: Command = command({
  name: "policy explain",
  usage: "",
  summary: "Say why a policy refuses a request: failing condition, line, expected and actual value",
  details: `
The request is a recorded one, as nacre policy check takes them, of which the last is explained and those before it make
the state; or with --rule protobuf's JSON, as nacre rpc takes it. The explanation comes from a run of the policy's own
rule. Exit status 1 when the policy refuses.`,
  arity: { min: 0, max: 0 },
  flags: {
    policy: { type: "string", value: "FILE", help: "the policy" },
    request: { type: "string", value: "FILE", help: "the request; - reads standard input" },
    rule: { type: "string", value: "NAME", help: "the rule that decides, such as CreateContainerRequest" },
    input: { type: "boolean", help: "with --rule: the request is the policy's input already" },
  },
  async run({ flags }, context) {
    const { policy, request } = flags;
    if (policy === undefined || request === undefined) {
      throw new NacreError("usage", "policy explain: expected --policy and --request");
    }
    const engine = await loadPolicy(await readInput(policy, context), policy);
    const asked = await readInput(request, context);
    const { before, last } =
      flags.rule === undefined
        ? recorded(readRequests(asked, request))
        : { before: [], last: { rule: flags.rule, where: request, json: asked, raw: flags.input } };
    await askRecorded(engine, before);
    const { allowed, prints, explanation } = await askPolicy(engine, last.rule, last.json, last.raw);
    const why = explanation === undefined ? [] : explanationLines(explanation);
    const nothing =
      allowed || why.length > 0 ? [] : ["what failed cannot be told of this rule; it printed:", ...prints];
    const lines = [
      `${last.rule}: ${allowed ? "allowed" : "refused"}`,
      ...[...why, ...nothing].map((line) => `  ${line}`),
    ];
    print(context, { rule: last.rule, allowed, prints, explanation: explanation ?? null }, lines.join("\n"));
    return allowed ? 0 : 1;
  },
});

function recorded(requests: readonly RecordedRequest[]): { before: readonly RecordedRequest[]; last: RecordedRequest } {
  const last = requests.at(-1);
  if (last === undefined) throw new NacreError("input", "no recorded request; a request alone needs --rule");
  return { before: requests.slice(0, -1), last };
}
