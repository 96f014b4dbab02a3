// --- what needs attention ----------------------------------------------------------------------

/** A finding as a line: word, node, what is known, what to do. */
function findingLine(shell, finding, long) {
  const bad = finding.severity === "failed" || finding.severity === "stuck";
  const state = shell.stateNamed(finding.severity === "failed" ? "failed" : bad ? "backing_off" : "waiting");
  const glyph = finding.severity === "failed" ? "✕" : bad ? "!" : finding.severity === "slow" ? "▷" : "○";
  const node = finding.index >= 0
    ? h("button", { type: "button", class: "nbf-link", onclick: () => shell.store.choose(finding.index, "overview"), text: finding.node })
    : h("b", { text: finding.node || "run" });
  const next = finding.suggestions[0] || "";
  const { summary } = finding;
  // The name stands before it already.
  const named = [`${finding.node} `, `${finding.node}: `].find((each) => finding.node && summary.startsWith(each));
  return h(
    "li",
    { class: "nbf-finding", "data-kind": finding.kind },
    h("span", { class: "nbf-glyph", style: { color: `var(--nbf-text-${state})` }, "aria-hidden": "true", text: glyph }),
    h("b", { class: "nbf-word", text: finding.word }),
    " ",
    node,
    " ",
    h("span", { text: named ? summary.slice(named.length) : summary }),
    !long && next ? h("span", { class: "nbf-next", text: `→ ${next}` }) : null,
    long ? findingMore(finding) : null,
  );
}

function findingMore(finding) {
  return h(
    "div",
    { class: "nbf-more" },
    finding.suggestions.length ? h("ul", {}, finding.suggestions.map((each) => h("li", { text: `→ ${each}` }))) : null,
    finding.evidence.length
      ? h("details", {}, h("summary", { text: "evidence" }), facts(finding.evidence))
      : null,
    finding.logs.length ? h("details", {}, h("summary", { text: "last lines" }), h("pre", { text: finding.logs.join("\n") })) : null,
  );
}

const facts = (pairs) => h("dl", { class: "nbf-facts" }, pairs.map(([key, value]) => [h("dt", { text: key }), h("dd", { text: value })]));

/** The findings of the run, the most urgent first. */
class StripView {
  constructor(shell, long) {
    this.shell = shell;
    this.long = long;
    this.open = false;
    this.el = h("section", { class: "nbf-strip", "aria-label": "What needs attention" });
    this.reload();
  }

  reload() {
    const { findings, problem, more } = this.shell.store.diagnosis;
    const rank = { failed: 0, stuck: 1, waiting: 2, slow: 3 };
    const urgent = findings.filter((each) => this.long || each.severity !== "slow" || !this.shell.store.summary.going);
    urgent.sort((a, b) => rank[a.severity] - rank[b.severity]);
    const key = JSON.stringify([urgent, problem, this.open]);
    if (key === this.key) return;
    this.key = key;
    const shown = this.long || this.open ? urgent : urgent.slice(0, 3);
    const rest = urgent.length - shown.length + (more || 0);
    const turn = () => {
      this.open = !this.open;
      this.reload();
    };
    fill(
      this.el,
      problem ? h("div", { class: "nbf-soft", text: `no diagnosis: ${problem}` }) : null,
      shown.length ? h("ul", {}, shown.map((each) => findingLine(this.shell, each, this.long))) : null,
      rest > 0 && !this.open ? h("button", { type: "button", class: "nbf-link", onclick: turn, text: `${rest} more` }) : null,
      this.open && urgent.length > 3 ? h("button", { type: "button", class: "nbf-link", onclick: turn, text: "fewer" }) : null,
      this.long && !shown.length && !problem ? h("div", { class: "nbf-soft", text: "Nothing needs attention." }) : null,
    );
    this.el.hidden = !this.el.childNodes.length;
  }
}
