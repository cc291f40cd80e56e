import type { Command } from "../command.ts";
import { command } from "../command.ts";
import { type Context, print, table } from "../context.ts";
import { NacreError } from "../error.ts";
import { readInput } from "../input-file.ts";
import { askPolicy, askRecorded, loadPolicy } from "../policy.ts";
import { readRequests, type RecordedRequest } from "../policy-requests.ts";

export const policyCheck: Command = command({
  name: "policy check",
  usage: "FILE [RECORDING...]",
  summary: "Parse a policy as a guest does, and put requests to it",
  details: `
Recordings are those of nacre trace, of the agent's own log of its policy, or of regorus's tests: a request a line. They
are put to the policy in their order, each with the state that those before it left; the verdicts are a table. One request
by --request is protobuf's JSON, as nacre rpc takes it. Exit status 1 when the policy does not parse or refuses. Names of
rules are those of the request's message: ExecProcessRequest, not ExecProcess.`,
  arity: { min: 1, max: 100 },
  flags: {
    request: { type: "string", value: "FILE", help: "a request to put to it; - reads standard input" },
    rule: { type: "string", value: "NAME", help: "the rule that decides, such as CreateContainerRequest" },
    input: { type: "boolean", help: "the request is the policy's input already" },
  },
  async run({ args: [file = "", ...recordings], flags }, context) {
    if ((flags.request === undefined) !== (flags.rule === undefined)) {
      throw new NacreError("usage", "policy check: --request and --rule go together");
    }
    const engine = await loadPolicy(await readInput(file, context), file);
    const common = { file, sha256: engine.digest, allowRequestsFailingPolicy: engine.allowRequestsFailingPolicy };
    if (recordings.length > 0) {
      const verdicts = await askRecorded(engine, await readRecordings(recordings, context));
      const rows = verdicts.map(({ where, rule, verdict, why }) => [where, rule, verdict, why]);
      print(context, { ...common, verdicts }, table(["REQUEST", "RULE", "VERDICT", "WHY"], rows));
      return verdicts.every(({ verdict }) => verdict === "allowed") ? 0 : 1;
    }
    if (flags.request === undefined || flags.rule === undefined) {
      const warning = engine.allowRequestsFailingPolicy ? "\nwarning: AllowRequestsFailingPolicy is true" : "";
      print(context, common, `${file}: a policy (sha256 ${engine.digest})${warning}`);
      return 0;
    }
    const { allowed, prints } = await askPolicy(
      engine,
      flags.rule,
      await readInput(flags.request, context),
      flags.input,
    );
    const verdict = `${flags.rule}: ${allowed ? "allowed" : "refused"}`;
    print(
      context,
      { ...common, rule: flags.rule, allowed, prints },
      [verdict, ...prints.map((line) => `  ${line}`)].join("\n"),
    );
    return allowed ? 0 : 1;
  },
});

/** The requests of several recordings, one after the other. */
export async function readRecordings(files: readonly string[], context: Context): Promise<RecordedRequest[]> {
  const requests: RecordedRequest[] = [];
  for (const file of files) requests.push(...readRequests(await readInput(file, context), file));
  if (requests.length === 0) throw new NacreError("input", "no request in what was recorded");
  return requests;
}
