import { LOG_LEVELS, type LogLevel } from "@nacre/protocols";

/** `RUST_LOG` counts before the configuration; of a filter by modules, the part without one. */
export function logLevel(rustLog: string | undefined, configured: LogLevel): LogLevel {
  const words = rustLog?.toLowerCase().split(",") ?? [];
  return LOG_LEVELS.find((level) => words.includes(level)) ?? configured;
}
