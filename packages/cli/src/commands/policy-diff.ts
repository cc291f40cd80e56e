import { type Command, command } from "../command.ts";
import { print, table } from "../context.ts";
import { readInput } from "../input-file.ts";
import { askRecorded, loadPolicy } from "../policy.ts";
import { readRecordings } from "./policy-check.ts";

export const policyDiff: Command = command({
  name: "policy diff",
  usage: "OLD NEW RECORDING...",
  summary: "Say which recorded requests two policies answer differently",
  details: `
Recordings are those that nacre policy check takes. Each policy gets all requests in their order. Exit status 1 when there
is a difference.`,
  arity: { min: 3, max: 100 },
  flags: {},
  async run({ args: [before = "", after = "", ...recordings] }, context) {
    const requests = await readRecordings(recordings, context);
    const ask = async (file: string): ReturnType<typeof askRecorded> =>
      askRecorded(await loadPolicy(await readInput(file, context), file), requests);
    const olds = await ask(before);
    const changes = (await ask(after)).flatMap(({ where, rule, verdict, why }, i) => {
      const old = olds[i];
      if (old === undefined || old.verdict === verdict) return [];
      return [{ where, rule, old: old.verdict, new: verdict, why: verdict === "allowed" ? old.why : why }];
    });
    const rows = changes.map((change) => [change.where, change.rule, change.old, change.new, change.why]);
    const same = `${requests.length} requests, the same verdicts`;
    const text = changes.length === 0 ? same : table(["REQUEST", "RULE", "OLD", "NEW", "WHY"], rows);
    print(context, { requests: requests.length, changes }, text);
    return changes.length === 0 ? 0 : 1;
  },
});
