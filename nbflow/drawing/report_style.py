"""How a report looks, on a screen and on paper, and the few lines of script that it can do without.

The script only sorts tables and hides rows of the list of events. A policy in the page names it by
its hash, so that a browser runs no other, whatever else the page holds.
"""

from base64 import b64encode
from hashlib import sha256

STYLE = """
:root {
  color-scheme: light dark;
  --ink: #1f2328; --soft: #57606a; --line: #d8dee4; --ground: #ffffff; --raised: #f6f8fa;
  --blue: #0060c0; --green: #2b8a58; --red: #c1272d; --amber: #b87700; --grey: #767b84;
}
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e8eb; --soft: #9aa4af; --line: #30363d; --ground: #14171b; --raised: #1d2126;
          --blue: #4d9fff; --green: #4cc283; --red: #f0625d; --amber: #e0a030; --grey: #9aa4af; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 24px clamp(12px, 3vw, 40px) 60px; max-width: 1240px;
  color: var(--ink); background: var(--ground); font: 14px/1.5 system-ui, sans-serif;
  font-variant-numeric: tabular-nums; overflow-wrap: break-word; }
h1 { font-size: 26px; line-height: 1.25; margin: 0; font-weight: 650; }
h2 { font-size: 18px; margin: 36px 0 10px; padding-bottom: 4px;
  border-bottom: 1px solid var(--line); }
h3 { font-size: 15px; margin: 16px 0 6px; }
a { color: var(--blue); text-decoration: none; }
a:hover { text-decoration: underline; }
p { margin: 6px 0; }
.soft { color: var(--soft); }
.blue { color: var(--blue); } .green { color: var(--green); } .red { color: var(--red); }
.amber { color: var(--amber); } .grey { color: var(--grey); }
.facts { display: flex; flex-wrap: wrap; gap: 4px 28px; margin: 12px 0 0; }
.facts div { display: flex; flex-direction: column; }
.facts dt { color: var(--soft); font-size: 12px; }
.facts dd { margin: 0; font-size: 16px; font-weight: 600; }
dl.facts { margin-bottom: 4px; }
nav { margin: 16px 0 0; display: flex; flex-wrap: wrap; gap: 4px 18px; }
.state, td.short { white-space: nowrap; }
.counts { display: flex; flex-wrap: wrap; gap: 2px 20px; }
td.about { min-width: 200px; max-width: 460px; }
td.about, td.mono { overflow-wrap: anywhere; }
.state b { display: inline-block; min-width: 1.2em; }
.wide { overflow-x: auto; }
.picture { overflow: auto; max-height: 640px; border: 1px solid var(--line); border-radius: 8px;
  padding: 10px; text-align: center; }
svg.timeline { display: block; min-width: 760px; width: 100%; height: auto; }
svg .ink { fill: var(--ink); }
table { border-collapse: collapse; min-width: 60%; }
th, td { text-align: left; padding: 3px 16px 3px 0; border-bottom: 1px solid var(--line);
  vertical-align: top; }
thead th { color: var(--soft); font-weight: 500; font-size: 12px; white-space: nowrap;
  vertical-align: bottom; }
.sortable.live thead th { cursor: pointer; }
.sortable.live thead th[aria-sort="ascending"]::after { content: " ▲"; }
.sortable.live thead th[aria-sort="descending"]::after { content: " ▼"; }
td.num, thead th.num { text-align: right; white-space: nowrap; }
td.name { white-space: nowrap; }
td.name, .mono { font-family: ui-monospace, monospace; font-size: 13px; }
pre { margin: 6px 0; padding: 10px 12px; background: var(--raised); border-radius: 6px;
  overflow: auto; max-height: 480px; white-space: pre-wrap;
  font: 12.5px/1.45 ui-monospace, monospace; }
.card { border: 1px solid var(--line); border-left: 4px solid var(--soft); border-radius: 6px;
  padding: 8px 14px 10px; margin: 10px 0; }
.card.failed { border-left-color: var(--red); }
.card.stuck, .card.waiting { border-left-color: var(--amber); }
.card.slow { border-left-color: var(--blue); }
.card h3 { margin: 0 0 4px; }
.card ul { margin: 4px 0; padding-left: 20px; }
summary { cursor: pointer; color: var(--soft); }
.spark { vertical-align: middle; }
.spark polyline { fill: none; stroke: var(--blue); stroke-width: 1.4; }
input[type="search"] { display: none; font: inherit; padding: 3px 8px; margin: 0 0 8px;
  width: 280px; max-width: 100%; border: 1px solid var(--line); border-radius: 6px;
  background: var(--raised); color: inherit; }
input[type="search"].live { display: block; }
:focus-visible { outline: 2px solid var(--blue); outline-offset: 2px; }
@media print {
  :root { --ink: #000; --soft: #444; --line: #bbb; --ground: #fff; --raised: #f6f6f6; }
  body { max-width: none; padding: 0; font-size: 11px; }
  nav, input[type="search"].live { display: none; }
  pre, .picture { max-height: none; overflow: visible; }
  .wide { overflow: visible; }
  table { font-size: 9.5px; }
  th, td { padding-right: 8px; }
  td.name, .mono, pre { font-size: 9.5px; white-space: pre-wrap; }
  td.about { min-width: 120px; }
  .card, tr, .picture { break-inside: avoid; }
  h2 { break-after: avoid; }
  details::details-content { content-visibility: visible; display: block; }
  details:not([open]) > *:not(summary) { display: block; }
  svg { max-width: 100%; height: auto; }
  svg.timeline { min-width: 0; }
}
"""

SCRIPT = """
"use strict";
for (const table of document.querySelectorAll("table.sortable")) {
  table.classList.add("live");
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    head.tabIndex = 0;
    const sort = () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const key = (row) => row.cells[column].dataset.key ?? row.cells[column].textContent;
      const rows = [...table.tBodies[0].rows];
      rows.sort((a, b) => key(a).localeCompare(key(b), undefined, { numeric: true }));
      const number = (row) => Number(row.cells[column].dataset.key ?? NaN);
      if (rows.some((row) => !Number.isNaN(number(row)))) {
        const value = (row) => (Number.isNaN(number(row)) ? -Infinity : number(row));
        rows.sort((a, b) => value(a) - value(b));
      }
      table.tBodies[0].append(...(down ? rows.reverse() : rows));
    };
    head.addEventListener("click", sort);
    head.addEventListener("keydown", (event) => { if (event.key === "Enter") sort(); });
  });
}
for (const search of document.querySelectorAll("input[type=search]")) {
  search.classList.add("live");
  const rows = [...document.getElementById(search.dataset.of).querySelectorAll("tbody tr")];
  search.addEventListener("input", () => {
    const wanted = search.value.toLowerCase();
    for (const row of rows) row.hidden = !row.textContent.toLowerCase().includes(wanted);
  });
}
"""

#: What a browser may load and run: our own style and script, and nothing from anywhere.
POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; "
    f"script-src 'sha256-{b64encode(sha256(SCRIPT.encode()).digest()).decode()}'; "
    "base-uri 'none'; form-action 'none'"
)
