import { parseLossless, stringifyLossless } from "@nacre/protocols";
import { describe, expect, it } from "vitest";

import { PODS, PolicedPod, podManifest } from "../fixtures/generated-pod.ts";
import { HARMLESS, type Harmless, SANDBOX_PROCESS } from "../fixtures/harmless.ts";
import { type Mutation, mutations } from "../fixtures/mutations.ts";
import { PolicyTrial } from "../fixtures/policy-trial.ts";
import { seeded } from "../fixtures/seeded.ts";

/** Changes of one place that are tried, of about seven; `NACRE_MUTATIONS=all` tries every one. */
const PER_PLACE: number = process.env["NACRE_MUTATIONS"] === "all" ? Infinity : 2;
const SEED = 20_261_125;

function chosen(all: readonly Mutation[], random: (n: number) => number): readonly Mutation[] {
  return [...Map.groupBy(all, ({ path }) => path).values()].flatMap((here) => {
    const rest = [...here];
    const taken: Mutation[] = [];
    while (taken.length < PER_PLACE && rest.length > 0) taken.push(...rest.splice(random(rest.length), 1));
    return taken;
  });
}

/** The entry of the list that a change falls under. */
function harmless(rule: string, sandbox: boolean, { path, what }: Mutation): Harmless | undefined {
  const where = path.replaceAll(/\[\d+\]/gu, "[]");
  return [...(sandbox ? [SANDBOX_PROCESS] : []), ...HARMLESS].find(
    (one) => one.rules.includes(rule) && one.where.test(where) && (one.what === undefined || one.what.test(what)),
  );
}

function isSandbox(request: object): boolean {
  const { OCI } = request as { readonly OCI?: { readonly Annotations: Readonly<Record<string, string>> } };
  return OCI?.Annotations["io.kubernetes.cri.container-type"] === "sandbox";
}

const OPTIONS = { logs: true, exec: [["ls", "/"]] };

describe("a change in one place of a request", () => {
  const used = new Set<Harmless>();

  it.each(PODS)(
    "is refused or harmless under the policy of %s",
    async (name) => {
      const policed = await PolicedPod.of(podManifest(name), OPTIONS);
      const questions = policed.lifetime(OPTIONS);
      const trial = await PolicyTrial.of(policed.policy, new Set(questions.map(({ rule }) => rule)));
      const random = seeded(SEED);
      const through: string[] = [];
      let places = 0;
      let refusals = 0;
      for (const { rule, input } of questions) {
        const whole = parseLossless(input) as object;
        const sandbox = isSandbox(whole);
        const changes = chosen(
          mutations(whole, () => ({})),
          random,
        );
        places += new Set(changes.map(({ path }) => path)).size;
        for (const change of changes) {
          const { allowed } = await trial.ask(rule, stringifyLossless(change.request));
          const entry = allowed ? harmless(rule, sandbox, change) : undefined;
          if (!allowed) refusals += 1;
          else if (entry === undefined) through.push(`${rule} ${change.path}: ${change.what}`);
          else used.add(entry);
        }
        const { allowed, ops } = await trial.ask(rule, input);
        expect(allowed, rule).toBe(true);
        await trial.apply(ops);
      }
      expect(through).toEqual([]);
      expect(places).toBeGreaterThan(500);
      expect(refusals).toBeGreaterThan(places / 2);
    },
    120_000,
  );

  it("is on no list without being possible", () => {
    if (PER_PLACE === Infinity) expect(HARMLESS.filter((entry) => !used.has(entry))).toEqual([]);
    expect(used.size).toBeGreaterThan(HARMLESS.length / 2);
  });
});
