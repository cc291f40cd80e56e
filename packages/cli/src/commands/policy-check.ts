import { type Command, command } from "../command.ts";
import { print } from "../context.ts";
import { NacreError } from "../error.ts";
import { readInput } from "../input-file.ts";
import { askPolicy, loadPolicy } from "../policy.ts";

export const policyCheck: Command = command({
  name: "policy check",
  usage: "FILE",
  summary: "Parse a policy as a guest does, and put a request to it",
  details: `
The request is protobuf's JSON, as nacre rpc takes it. Exit status 1 when the policy does not parse or refuses. Names of
rules are those of the request's message: ExecProcessRequest, not ExecProcess.`,
  arity: { min: 1, max: 1 },
  flags: {
    request: { type: "string", value: "FILE", help: "a request to put to it; - reads standard input" },
    rule: { type: "string", value: "NAME", help: "the rule that decides, such as CreateContainerRequest" },
    input: { type: "boolean", help: "the request is the policy's input already" },
  },
  async run({ args: [file = ""], flags }, context) {
    if ((flags.request === undefined) !== (flags.rule === undefined)) {
      throw new NacreError("usage", "policy check: --request and --rule go together");
    }
    const engine = await loadPolicy(await readInput(file, context), file);
    const common = { file, sha256: engine.digest, allowRequestsFailingPolicy: engine.allowRequestsFailingPolicy };
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
