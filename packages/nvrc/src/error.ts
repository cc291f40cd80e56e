/** What stopped the boot, or ended the guest later. */
export type NvrcErrorCode =
  | "agent"
  | "cgroup"
  | "daemon"
  | "device"
  | "extension"
  | "gpu"
  | "helper"
  | "module"
  | "mount"
  | "network"
  | "parameter"
  | "syslog"
  | "topology";

/** The one error of this package; the guest powers off on every one of them. */
export class NvrcError extends Error {
  override readonly name: string = "NvrcError";
  readonly code: NvrcErrorCode;

  constructor(code: NvrcErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** An error and its causes on one line: what is lost in a power-off has no second line. */
export function oneLine(error: unknown): string {
  const parts: string[] = [];
  for (let at: unknown = error; at !== undefined && parts.length < 8; at = at instanceof Error ? at.cause : undefined) {
    parts.push(at instanceof Error ? at.message : JSON.stringify(at));
  }
  return parts.join(": ").replaceAll(/\s+/gu, " ");
}
