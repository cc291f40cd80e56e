import { constants } from "node:os";

import { GenPolicyError } from "./error.ts";

/** A signal's number by `SIGTERM`, `TERM`, `15` or `SIGRTMIN+3`. @throws GenPolicyError `manifest` */
export function signalNumber(text: string): number {
  if (/^[0-9]{1,2}$/u.test(text)) return Number(text);
  const name = text.toUpperCase().replace(/^SIG/u, "");
  const realtime = /^RTMIN(?:\+([0-9]{1,2}))?$/u.exec(name);
  if (realtime !== null) return 34 + Number(realtime[1] ?? "0");
  const number = (constants.signals as Readonly<Record<string, number>>)[`SIG${name}`];
  if (number === undefined) throw new GenPolicyError("manifest", `no signal ${text}`);
  return number;
}
