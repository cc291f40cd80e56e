import type { Logger, LogFields } from "../../src/log.ts";

/** A logger that keeps its lines: level, message and the values of `file`, `value`, where given. */
export function recordingLogger(): { logger: Logger; lines: string[] } {
  const lines: string[] = [];
  const log = (level: string, msg: string, fields: LogFields = {}): void => {
    const details = [fields["file"], fields["value"]].flatMap((value) => (typeof value === "string" ? [value] : []));
    lines.push([level, msg, ...details].join(" "));
  };
  const logger: Logger = {
    log,
    error: (msg, fields) => log("error", msg, fields),
    warning: (msg, fields) => log("warning", msg, fields),
    info: (msg, fields) => log("info", msg, fields),
    debug: (msg, fields) => log("debug", msg, fields),
    child: () => logger,
  };
  return { logger, lines };
}
