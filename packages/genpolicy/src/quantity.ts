import { GenPolicyError } from "./error.ts";

const BINARY = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
const DECIMAL: Readonly<Record<string, bigint>> = {
  n: 1n,
  u: 1_000n,
  m: 1_000_000n,
  "": 1_000_000_000n,
  k: 10n ** 12n,
  M: 10n ** 15n,
  G: 10n ** 18n,
  T: 10n ** 21n,
  P: 10n ** 24n,
  E: 10n ** 27n,
};

/** A Kubernetes quantity such as `500m` or `1.5Gi`, in billionths. @throws GenPolicyError `manifest` */
export function nanos(text: string): bigint {
  const match = /^([0-9]{1,18})?(?:\.([0-9]{1,18}))?(?:(n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)|[eE]([0-9]{1,2}))?$/u.exec(
    text,
  );
  if (match === null || text === "")
    throw new GenPolicyError("manifest", `expected a quantity, got ${JSON.stringify(text)}`);
  const [, whole = "0", fraction = "", unit = "", exponent = "0"] = match;
  const power = BINARY.indexOf(unit);
  const factor = power === -1 ? (DECIMAL[unit] ?? 1n) : 1024n ** BigInt(power + 1) * 1_000_000_000n;
  const scale = 10n ** BigInt(fraction.length);
  return divideUp(BigInt(whole + fraction) * factor * 10n ** BigInt(exponent), scale);
}

/** How often the divisor is in the quantity, rounded up, as a resource's field is filled in. */
export function divided(quantity: string, divisor: string): string {
  const by = nanos(divisor);
  return String(divideUp(nanos(quantity), by === 0n ? 1_000_000_000n : by));
}

function divideUp(a: bigint, b: bigint): bigint {
  return (a + b - 1n) / b;
}
