import { Writable } from "node:stream";

import type { Agent } from "../agent.ts";
import { attach } from "../attach.ts";
import type { ContainerRecord } from "../container-store.ts";
import { readImageConfig } from "../image.ts";
import { guestRegistries } from "../guest-registries.ts";
import type { Pod } from "../pod.ts";
import { containerProcess } from "../process-spec.ts";
import type { TracedWork } from "./record.ts";

/**
 * Makes a container of an image, starts it, and resolves when it has written something or has ended. It is removed then.
 * What it writes goes to `output`.
 */
export async function runToFirstOutput(
  pod: Pod,
  agent: Agent,
  { image, command, output }: TracedWork & { readonly image: string },
  signal: AbortSignal,
): Promise<void> {
  const config = await readImageConfig(image, guestRegistries(pod.guest), signal);
  const process = containerProcess(config, { command });
  const record: ContainerRecord = await pod.create(
    { name: `trace-${Date.now().toString(36)}`, image, process },
    signal,
  );
  try {
    const wrote = Promise.withResolvers<void>();
    const sink = (): Writable =>
      new Writable({
        write: (chunk: Uint8Array, _encoding, done) => {
          output(chunk);
          wrote.resolve();
          done();
        },
      });
    const ended = attach(agent, await pod.start(record, signal), { stdout: sink(), stderr: sink() });
    const interrupted = new Promise<never>((_, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason as Error), { once: true });
    });
    await Promise.race([wrote.promise, ended, interrupted]);
    // Its reads end with the container, and their failure is of no interest.
    ended.catch(() => undefined);
  } finally {
    await pod.remove(record);
  }
}
