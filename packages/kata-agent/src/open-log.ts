import type { AgentConfig } from "./config.ts";
import { createLogger, type Logger } from "./log.ts";
import { LogBuffer, listenForLogReader } from "./log-port.ts";
import { DescriptorSink } from "./log-stdout.ts";
import { AGENT_VERSION } from "./version.ts";

/** A log and what waits for its lines to be out. */
export interface OpenLog {
  readonly log: Logger;
  flush(): Promise<void>;
}

const STDOUT = 1;

/** The log on standard output, or offered on `agent.log_vport` (section 1.1). */
export async function openLog(config: AgentConfig): Promise<OpenLog> {
  const create = (write: (line: string) => void): Logger =>
    createLogger({ level: config.logLevel, version: AGENT_VERSION, pid: process.pid, write });
  if (config.logVport === 0) {
    const sink = new DescriptorSink(STDOUT);
    return { log: create((line) => sink.write(line)), flush: () => sink.flush() };
  }
  const buffer = new LogBuffer();
  await listenForLogReader(config.serverAddr, config.logVport, buffer);
  return { log: create((line) => buffer.write(line)), flush: () => Promise.resolve() };
}
