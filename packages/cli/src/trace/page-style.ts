/** The page's style: both colour schemes, contrast of 4.5 and more, nothing that has to be fetched. */
export const STYLE: string = `
:root{color-scheme:light dark;--ink:#1b1f24;--quiet:#57606a;--paper:#fff;--card:#f6f8fa;--line:#d0d7de;
--c0:#0969da;--c1:#8250df;--c2:#1a7f37;--c3:#bc4c00;--c4:#bf3989;--c5:#0b6e7a;--c6:#9a6700;--c7:#57606a}
@media (prefers-color-scheme:dark){:root{--ink:#e6edf3;--quiet:#9aa4af;--paper:#0d1117;--card:#161b22;--line:#3b434d;
--c0:#58a6ff;--c1:#bc8cff;--c2:#56d364;--c3:#f0883e;--c4:#f778ba;--c5:#39c5cf;--c6:#e3b341;--c7:#9aa4af}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:15px/1.45 system-ui,sans-serif}
main{max-width:1500px;margin:0 auto;padding:1.5rem}
h1{font-size:1.45rem;margin:0}
h2{font-size:1.05rem;margin:1.5rem 0 .5rem}
.facts{margin:.25rem 0 0;color:var(--quiet);overflow-wrap:anywhere}
.milestones{display:flex;flex-wrap:wrap;column-gap:2rem}
dl{display:flex;flex-wrap:wrap;gap:.75rem;margin:0}
dl div{background:var(--card);border:1px solid var(--line);border-radius:6px;padding:.5rem .9rem}
dt{color:var(--quiet);font-size:.85rem}
dd{margin:0;font-size:1.3rem;font-variant-numeric:tabular-nums}
abbr{text-decoration:none;font-size:.85rem;color:var(--quiet)}
.scroll{overflow-x:auto;border:1px solid var(--line);border-radius:6px}
:focus-visible{outline:2px solid var(--c0);outline-offset:2px}
table{border-collapse:collapse;width:100%;min-width:760px;font-size:.87rem}
caption{text-align:left;padding:.5rem .75rem;color:var(--quiet)}
th,td{padding:.12rem .75rem;text-align:left;vertical-align:middle;white-space:nowrap}
thead th{border-bottom:1px solid var(--line);color:var(--quiet);font-weight:600;padding-bottom:.3rem}
tbody th{font-weight:600;color:var(--c)}
tbody th.again{font-weight:400;color:var(--quiet)}
tbody tr:hover{background:var(--card)}
.number{text-align:right;padding-left:1.6rem;font-variant-numeric:tabular-nums}
.detail{color:var(--quiet);display:inline-block;max-width:22rem;overflow:hidden;text-overflow:ellipsis;vertical-align:bottom}
.axis,.track{position:relative;width:60%;min-width:280px;padding:0}
.axis{height:1.8rem}
.tick{position:absolute;bottom:.3rem;padding-left:3px;font-weight:400;font-variant-numeric:tabular-nums}
.track{background-image:linear-gradient(to right,var(--line) 1px,transparent 1px);background-size:var(--grid) 100%;height:1.45rem}
.bar{position:absolute;top:.25rem;bottom:.25rem;min-width:2px;border-radius:2px;background:var(--c)}
.moment{position:absolute;top:50%;width:.55rem;height:.55rem;background:var(--c);transform:translate(-50%,-50%) rotate(45deg)}
.hidden{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
details{margin-top:1.5rem}
summary{cursor:pointer;font-weight:600}
pre{background:var(--card);border:1px solid var(--line);border-radius:6px;padding:.75rem;overflow:auto;max-height:70vh;font:.8rem/1.4 ui-monospace,monospace;white-space:pre-wrap;overflow-wrap:anywhere}
${Array.from({ length: 8 }, (_, i) => `.c${i}{--c:var(--c${i})}`).join("")}
@media (forced-colors:active){.bar,.moment{forced-color-adjust:none}}
@media print{.scroll{overflow:visible;border:0}pre{max-height:none}}
`;
