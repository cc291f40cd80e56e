/** What happened, in one line of JSON; no secrets, no tokens, no evidence. */
export interface AuditEvent {
  readonly event: "admin" | "attest" | "auth" | "resource";
  readonly outcome: "allowed" | "refused";
  readonly [member: string]: unknown;
}

export interface AuditLog {
  write(event: AuditEvent): void;
}

/** Lines with the time in front, to wherever `write` puts them. */
export function auditLog(write: (line: string) => void, now: () => number): AuditLog {
  return {
    write: (event) => write(`${JSON.stringify({ time: new Date(now()).toISOString(), ...event })}\n`),
  };
}
