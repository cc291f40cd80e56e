import { writeFileSync } from "node:fs";

import { TRACE_PARAMETER } from "@nacre/protocols";

import { type Command, command } from "../command.ts";
import { type Context, note, print } from "../context.ts";
import { NacreError } from "../error.ts";
import { findGuest } from "../guest/guest.ts";
import { readInput } from "../input-file.ts";
import { sweepAbandoned } from "../sweep-abandoned.ts";
import { chart, DEFAULT_COLUMNS } from "../trace/chart.ts";
import { page } from "../trace/page.ts";
import { recordTrace, type TracedLog, type TracedWork } from "../trace/record.ts";
import { timelineOf } from "../trace/timeline.ts";
import { GUEST_FLAGS, guestOptions } from "./guest-flags.ts";
import { startNoted } from "./guest-start.ts";
import { QEMU_FLAGS, qemuOptions } from "./qemu-flags.ts";

export const trace: Command = command({
  name: "trace",
  usage: "[IMAGE [-- COMMAND [ARG...]]]",
  summary: "Show where the time of a boot goes",
  details: `
Starts a guest, asks its agent something, and shows what happened when, from events in the daemons' own logs. With an
IMAGE also its pull and a container of it, up to the first output. Then the guest is stopped. With --guest one is shown
that runs already and was started by nacre guest start --trace; with --log a file that is the log of one.`,
  arity: { min: 0, max: 1, rest: true },
  flags: {
    html: { type: "string", value: "FILE", help: "write it as one page that needs no other file" },
    guest: { type: "string", value: "GUEST", help: "one that runs and was started with --trace" },
    log: { type: "string", value: "FILE", help: "a log that was kept; - is standard input" },
    ...GUEST_FLAGS,
    ...QEMU_FLAGS,
  },
  async run({ args: [image], rest, flags }, context) {
    if (image === undefined && rest !== undefined) throw new NacreError("usage", "trace: a command needs an image");
    if (flags.log !== undefined && (image !== undefined || flags.guest !== undefined)) {
      throw new NacreError("usage", "trace: --log, or a guest, not both");
    }
    const { signal } = context.interrupts;
    // Beside the chart, not in it.
    const output = (chunk: Uint8Array): void => void (context.json || context.stderr.write(chunk));
    const work: TracedWork = { image, command: rest, output };
    if (flags.log !== undefined) {
      const log = await readInput(flags.log, context);
      return show(context, { subject: { file: flags.log }, log }, flags.html);
    }
    await sweepAbandoned(context);
    if (flags.guest !== undefined) {
      return show(context, await recordTrace(findGuest(flags.guest), work, signal), flags.html);
    }
    const options = await guestOptions(flags, context);
    const kernelParameters = [TRACE_PARAMETER, ...(options.kernelParameters ?? [])];
    await using guest = await startNoted(context, { ...options, kernelParameters, ...qemuOptions(flags) });
    show(context, await recordTrace(guest, work, signal), flags.html);
  },
});

/** Throws NacreError `input` for a log without events. */
function show(context: Context, { subject, log }: TracedLog, html: string | undefined): void {
  const timeline = timelineOf(log);
  if (timeline.rows.length === 0) throw new NacreError("input", "trace: expected events in the log, got none");
  if (html !== undefined) {
    writeFileSync(html, page(subject, timeline, log));
    note(context, `written to ${html}`);
  }
  const columns = context.stdout.isTTY ? context.stdout.columns : DEFAULT_COLUMNS;
  print(context, { ...subject, ...timeline }, html === undefined ? chart(subject, timeline, columns) : "");
}
