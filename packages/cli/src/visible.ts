/** What steers a terminal, ends a line for some reader, or reorders text; line feeds and tabs are none of it. */
const STEERING = /[^\P{Cc}\n\t]|\p{Cf}|[\u2028\u2029]/gu;

/**
 * A text of somebody else, safe to show: what would steer the terminal is seen as its number instead. A line may end as
 * on a serial console, by carriage return and line feed.
 */
export function visible(text: string): string {
  return text.replaceAll(/\r+\n/gu, "\n").replaceAll(STEERING, (character) => {
    const code = character.codePointAt(0) ?? 0;
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u{${code.toString(16)}}`;
  });
}

/** JSON that says the same, of which nothing steers a terminal: such characters are in its strings, and escaped there. */
export function visibleJson(json: string): string {
  return json.replaceAll(STEERING, (character) =>
    Array.from({ length: character.length }, (_, at) => character.charCodeAt(at))
      .map((unit) => `\\u${unit.toString(16).padStart(4, "0")}`)
      .join(""),
  );
}

/** As {@link visible}, on one line. */
export function visibleLine(text: string): string {
  return visible(text).replaceAll("\n", "\\n").replaceAll("\t", " ");
}
