import { escapeHtml, htmlPage } from "../html-page.ts";
import { visibleLine } from "../visible.ts";
import { isProven, type Proof, type ProvenDevice } from "./proof.ts";
import { verdict } from "./show.ts";

/** Both colour schemes, contrast of 4.5 and more, nothing that has to be fetched. */
const STYLE = `
:root{color-scheme:light dark;--ink:#1b1f24;--quiet:#57606a;--paper:#fff;--card:#f6f8fa;--line:#d0d7de;--good:#1a7f37;--bad:#b42318;--warn:#8a5a00}
@media (prefers-color-scheme:dark){:root{--ink:#e6edf3;--quiet:#9aa4af;--paper:#0d1117;--card:#161b22;--line:#3b434d;--good:#56d364;--bad:#ff8a80;--warn:#e3b341}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:15px/1.5 system-ui,sans-serif}
main{max-width:1200px;margin:0 auto;padding:1.5rem}
h1{font-size:1.45rem;margin:0;overflow-wrap:anywhere}h2{font-size:1.2rem;margin:2rem 0 .25rem}h3{font-size:1rem;margin:1.25rem 0 .4rem}
.verdict{font-size:1.1rem;font-weight:600;margin:.5rem 0}
.good,.affirming{color:var(--good)}.bad,.contraindicated{color:var(--bad)}.warning{color:var(--warn)}.none{color:var(--quiet)}
ul.remarks{list-style:none;padding:0;margin:.75rem 0}ul.remarks li{border-left:4px solid currentColor;padding:.2rem .75rem;margin:.3rem 0;background:var(--card)}
ul.remarks span{color:var(--ink)}
dl{display:flex;flex-wrap:wrap;gap:.5rem 2rem;margin:0}dl div{display:flex;gap:.5rem}dt{color:var(--quiet)}dd{margin:0;overflow-wrap:anywhere}
.scroll{overflow-x:auto;border:1px solid var(--line);border-radius:6px}
:focus-visible{outline:2px solid var(--good);outline-offset:2px}
table{border-collapse:collapse;width:100%;font-size:.87rem}
caption{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
th,td{padding:.3rem .75rem;text-align:left;vertical-align:top}thead th{border-bottom:1px solid var(--line);color:var(--quiet)}
tbody tr:nth-child(even){background:var(--card)}
td{font-family:ui-monospace,monospace;overflow-wrap:anywhere;min-width:6rem}
tbody th{font-weight:500;overflow-wrap:anywhere}
details summary{cursor:pointer;font-weight:600;padding:.4rem 0}
p.quiet{color:var(--quiet);margin:.25rem 0}
`;

/** A proof as one page; what a guest has named is escaped. */
export function attestPage(proof: Proof): string {
  const { subject, facts, remarks, devices } = proof;
  const proven = isProven(proof);
  return htmlPage({
    title: visibleLine(`What ${subject} has proven`),
    style: STYLE,
    main: `<p class="verdict ${proven ? "good" : "bad"}">${proven ? "Everything was affirmed." : "Not everything was affirmed."}</p>
<dl>${facts.map(([name, value]) => `<div><dt>${text(name)}</dt><dd>${text(value)}</dd></div>`).join("")}</dl>
<ul class="remarks">${remarks.map((one) => `<li class="${one.tone}"><span>${text(one.text)}</span></li>`).join("")}</ul>
${devices.map(deviceSection).join("\n")}`,
  });
}

function deviceSection({ name, status, policy, vector, references, claims, events }: ProvenDevice, at: number): string {
  const tier = /^[a-z]+$/u.test(status) ? status : "none";
  return `<section aria-labelledby="d${at}">
<h2 id="d${at}">${text(name)}: <span class="${tier}">${text(status)}</span></h2>
<p class="quiet">policy ${text(policy)}</p>
<h3>Trust vector</h3>
${table(
  "Trust vector",
  ["Claim", "Value", "Tier"],
  vector.map((row) => [row.claim, String(row.value), { class: row.tier, text: row.tier }]),
)}
<h3>Reference values</h3>
${table(
  "Reference values",
  ["Name", "Expected", "Found", "Verdict"],
  references.map((row) => [
    row.name,
    row.expected ?? "none registered",
    row.found ?? "no claim of this name",
    { class: row.agrees === undefined ? "none" : row.agrees ? "good" : "bad", text: verdict(row) },
  ]),
)}
<details open><summary>Claims (${claims.length})</summary>${table("Claims", ["Claim", "Value"], claims)}</details>
<details><summary>Measured event log (${events.length})</summary>${table(
    "Measured event log",
    ["Register", "Event", "Digest", "Details"],
    events.map((event) => [String(event.register), event.type, event.digest, event.text]),
  )}</details>
</section>`;
}

type Cell = string | { readonly class: string; readonly text: string };

function table(caption: string, head: readonly string[], rows: readonly (readonly Cell[])[]): string {
  if (rows.length === 0) return '<p class="quiet">None.</p>';
  const cells = (row: readonly Cell[]): string =>
    row
      .map((cell, at) => {
        const [of, value] = typeof cell === "string" ? ["", cell] : [` class="${cell.class}"`, cell.text];
        return at === 0 ? `<th scope="row"${of}>${text(value)}</th>` : `<td${of}>${text(value)}</td>`;
      })
      .join("");
  return `<div class="scroll" role="region" aria-label="${caption}" tabindex="0"><table><caption>${caption}</caption>
<thead><tr>${head.map((title) => `<th scope="col">${title}</th>`).join("")}</tr></thead>
<tbody>${rows.map((row) => `<tr>${cells(row)}</tr>`).join("\n")}</tbody></table></div>`;
}

function text(value: string): string {
  return escapeHtml(visibleLine(value));
}
