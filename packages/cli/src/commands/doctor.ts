import { type Command, command } from "../command.ts";
import { print } from "../context.ts";
import { diagnose, type Finding } from "../doctor/diagnose.ts";
import { systemProbes } from "../doctor/probes.ts";
import { sweepAbandoned } from "../sweep-abandoned.ts";

const MARKS: Readonly<Record<Finding["state"], string>> = { ok: "ok  ", limited: "some", missing: "no  " };

export const doctor: Command = command({
  name: "doctor",
  usage: "",
  summary: "Tell what works on this machine, and what to do about the rest",
  details: "Exit status 1 when a simulated guest cannot run here.",
  arity: { min: 0, max: 0 },
  flags: {},
  async run(_invocation, context) {
    await sweepAbandoned(context);
    const findings = await diagnose(systemProbes());
    const able = !findings.some(({ state, required }) => required && state === "missing");
    const lines = findings.map(
      ({ name, state, detail, advice }) =>
        `${MARKS[state]}  ${name.padEnd(16)} ${detail}${advice === undefined ? "" : `\n${" ".repeat(23)}-> ${advice}`}`,
    );
    const verdict = able ? "A simulated guest runs here: nacre guest start" : "A simulated guest cannot run here yet.";
    print(context, { simulatedGuest: able, findings }, [...lines, "", verdict].join("\n"));
    return able ? 0 : 1;
  },
});
