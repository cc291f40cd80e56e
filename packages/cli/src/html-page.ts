import { visible } from "./visible.ts";

export interface HtmlPage {
  /** A text; the rest is markup. */
  readonly title: string;
  readonly style: string;
  readonly main: string;
}

/** A page that needs nothing else: no script, no font, no picture, no request, which its own policy forbids as well. */
export function htmlPage({ title, style, main }: HtmlPage): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${escapeHtml(title)}</title>
<style>${style}</style>
</head>
<body>
<main>
<h1>${escapeHtml(title)}</h1>
${main}
</main>
</body>
</html>
`;
}

const ENTITIES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

/** Text for an element or a quoted attribute; what would steer a reader is shown as its number. */
export function escapeHtml(text: string): string {
  return visible(text).replaceAll(/[&<>"']/gu, (character) => ENTITIES[character] ?? "");
}
