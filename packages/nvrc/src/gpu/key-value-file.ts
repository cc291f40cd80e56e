/**
 * Sets keys in a text of `KEY=VALUE` lines: every line that sets one is replaced, what is missing is added at the end,
 * everything else stays.
 */
export function setKeys(text: string, updates: Readonly<Record<string, string>>): string {
  const missing = new Map(Object.entries(updates));
  const lines = text.replace(/\n$/u, "").split("\n");
  const edited = lines.map((line) => {
    const key = Object.keys(updates).find((name) => line.trim().startsWith(`${name}=`));
    if (key === undefined) return line;
    missing.delete(key);
    return `${key}=${updates[key]}`;
  });
  return [...edited, ...[...missing].map(([key, value]) => `${key}=${value}`)].map((line) => `${line}\n`).join("");
}
