// --- the node that was chosen ------------------------------------------------------------------

const TABS = [
  ["overview", "Overview"],
  ["cells", "Cells"],
  ["logs", "Logs"],
  ["resources", "Resources"],
  ["attempts", "Attempts"],
  ["story", "Story"],
];

class NodeView {
  constructor(shell) {
    this.shell = shell;
    this.store = shell.store;
    this.id = `nbf-${Math.random().toString(36).slice(2)}`;
    this.glyph = h("span", { class: "nbf-glyph", "aria-hidden": "true" });
    this.name = h("b", { class: "nbf-name" });
    this.word = h("span", { class: "nbf-soft" });
    this.page = h("span");
    this.retry = new ActButton(shell, "Retry", "", () => ["retry", { index: this.index }]);
    this.verdicts = ["succeeded", "failed", "retry"].map(
      (verdict) => new ActButton(shell, `It ${verdict === "retry" ? "may repeat" : verdict}`, "Record this decision?", () => ["resolve", { index: this.index, verdict }]),
    );
    this.close = h("button", { type: "button", title: "Close", "aria-label": "Close the node", onclick: () => this.store.choose(-1), text: "×" });
    this.tabs = TABS.map(([key, label], at) =>
      h("button", {
        type: "button",
        role: "tab",
        id: `${this.id}-${key}`,
        "aria-controls": `${this.id}-panel`,
        onclick: () => this.store.choose(this.index, key),
        onkeydown: (e) => this.tabKey(e, at),
        text: label,
      }),
    );
    this.body = h("div", { class: "nbf-body", role: "tabpanel", id: `${this.id}-panel`, tabindex: "0" });
    this.el = h(
      "section",
      { class: "nbf-node", "aria-label": "The chosen node", hidden: true },
      h("div", { class: "nbf-line" }, this.glyph, this.name, this.word, this.page, h("span", { class: "nbf-grow" }), this.verdicts.map((each) => each.el), this.retry.el, this.close),
      h("div", { class: "nbf-tabs", role: "tablist", "aria-label": "About the node" }, this.tabs),
      this.body,
    );
    this.el.addEventListener("keydown", (e) => {
      if (e.key === "Escape") this.store.choose(-1);
    });
  }

  get index() {
    return this.store.choice.index;
  }

  tabKey(e, at) {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[e.key];
    if (!by) return;
    const to = (at + by + TABS.length) % TABS.length;
    this.store.choose(this.index, TABS[to][0]);
    this.tabs[to].focus();
    e.preventDefault();
  }

  draw() {
    const { store, index: i } = this;
    this.el.hidden = i < 0;
    if (i < 0) return;
    const look = store.look(i);
    say(this.glyph, look.glyph);
    this.glyph.style.color = `var(--nbf-text-${store.state[i]})`;
    say(this.name, store.structure.names[i]);
    const time = duration(store.elapsed(i));
    say(this.word, [look.word, time].filter(Boolean).join(" · "));
    const page = store.workerPage(i);
    if (this.pageOf !== page) {
      this.pageOf = page;
      fill(this.page, link(page, "worker ↗", "The worker's page of the Dask dashboard"));
    }
    const doubt = look.name === "in_doubt";
    for (const each of this.verdicts) each.set({ hidden: !doubt, disabled: store.gone });
    const idle = !store.summary.driven;
    this.retry.set({ hidden: doubt || !look.ended, disabled: store.gone || !idle });
    this.retry.button.title = idle ? "Run this node again, and what follows from it" : "A node runs again by resuming, once the run has ended";
    this.tabs.forEach((tab, at) => {
      const on = TABS[at][0] === store.choice.tab;
      tab.setAttribute("aria-selected", on ? "true" : "false");
      tab.tabIndex = on ? 0 : -1;
    });
    this.body.setAttribute("aria-labelledby", `${this.id}-${store.choice.tab}`);
  }

  /** Fill the tab with what the kernel has sent; keep its scroll, and what has been unfolded. */
  refresh() {
    const { detail, choice } = this.store;
    const key = `${choice.index} ${choice.tab}`;
    const fresh = this.shown !== key;
    if (!detail || detail.index !== choice.index || detail.tab !== choice.tab) {
      if (fresh) fill(this.body, h("div", { class: "nbf-soft nbf-wait", text: "…" }));
      return;
    }
    this.shown = key;
    if (detail.problem) {
      fill(this.body, h("div", { class: "nbf-problem", text: detail.problem }));
      return;
    }
    const { scrollTop } = this.body;
    const bottom = scrollTop + this.body.clientHeight >= this.body.scrollHeight - 8;
    const unfolded = new Set([...this.body.querySelectorAll("details[open]")].map((each) => each.dataset.key));
    if (fresh) fill(this.body);
    this[`show_${detail.tab}`](detail);
    for (const each of this.body.querySelectorAll("details[data-key]")) if (unfolded.has(each.dataset.key)) each.open = true;
    const down = detail.tab === "logs" && (fresh || bottom);
    this.body.scrollTop = down ? this.body.scrollHeight : fresh ? 0 : scrollTop;
  }

  show_overview(d) {
    const { store } = this;
    const jump = (name) => {
      const i = store.structure.names.indexOf(name);
      return h("button", { type: "button", class: "nbf-link", onclick: () => store.choose(i), text: name });
    };
    const some = (names) => [names.slice(0, 12).map((name) => [jump(name), " "]), names.length > 12 ? `and ${names.length - 12} more` : ""];
    const findings = store.diagnosis.findings.filter((each) => each.index === this.index);
    fill(
      this.body,
      findings.length ? h("ul", { class: "nbf-findings" }, findings.map((each) => findingLine(this.shell, each, true))) : null,
      d.activity ? h("p", { text: d.activity }) : null,
      facts(d.facts),
      d.inputs.length ? h("div", { class: "nbf-near" }, h("span", { class: "nbf-soft", text: "waits for " }), some(d.inputs)) : null,
      d.followers.length ? h("div", { class: "nbf-near" }, h("span", { class: "nbf-soft", text: "then " }), some(d.followers)) : null,
      d.notebook ? this.notebook(d.notebook) : null,
      d.error ? this.error(d.error) : null,
      d.stack.length ? h("details", { "data-key": "stack" }, h("summary", { text: "where it stands now" }), h("pre", { text: d.stack.map((each) => `${each.where}, line ${each.line}, in ${each.function}${each.text ? `\n    ${each.text}` : ""}`).join("\n") })) : null,
    );
  }

  notebook(path) {
    const found = served(path, this.store.structure.folder);
    return h(
      "div",
      { class: "nbf-near" },
      found ? h("a", { href: found, target: "_blank", rel: "noopener", text: "open executed notebook ↗" }) : h("span", { class: "nbf-soft", text: "executed notebook" }),
      " ",
      h("code", { text: path }),
      " ",
      h("button", { type: "button", class: "nbf-link", onclick: () => (copy(path), this.shell.foot("copied")), text: "copy" }),
    );
  }

  error(error) {
    const where = error.cell === null ? "" : `cell ${error.cell}: `;
    return h(
      "div",
      { class: "nbf-error" },
      h("div", {}, h("b", { text: `${where}${error.type}` }), h("span", { text: error.message ? `: ${error.message}` : "" })),
      error.traceback ? h("pre", { text: error.traceback }) : null,
    );
  }

  show_cells(d) {
    if (d.note) {
      fill(this.body, h("div", { class: "nbf-soft", text: d.note }));
      return;
    }
    // Cells that have not changed keep their elements, and with them frames and images.
    const before = new Map([...this.body.children].map((each) => [each.dataset.cell, each]));
    const els = d.cells.map((cell) => {
      const running = d.current === cell.index;
      const key = JSON.stringify([cell, running]);
      const old = before.get(String(cell.index));
      if (old && old.key_ === key) return old;
      const el = this.cell(cell, running);
      el.key_ = key;
      return el;
    });
    if (els.some((el, i) => this.body.children[i] !== el) || this.body.children.length !== els.length) fill(this.body, els);
  }

  cell(cell, running) {
    const status = running ? "running" : cell.status || "pending";
    const known = { completed: "succeeded", failed: "failed", running: "running" }[status] || "waiting";
    const state = this.shell.stateNamed(known);
    const look = this.store.structure.looks[state];
    const lines = cell.source.split("\n");
    return h(
      "div",
      { class: "nbf-cell", "data-cell": cell.index, "data-status": status },
      h(
        "div",
        { class: "nbf-line" },
        h("span", { class: "nbf-glyph", style: { color: `var(--nbf-text-${state})` }, "aria-hidden": "true", text: look.glyph }),
        h("span", { text: `cell ${cell.index}` }),
        h("span", { class: "nbf-soft", text: [status, cell.duration_s === undefined || cell.duration_s === null ? "" : duration(cell.duration_s)].filter(Boolean).join(" · ") }),
      ),
      lines.length > 6
        ? h("details", { "data-key": `source ${cell.index}` }, h("summary", {}, h("code", { text: lines.find((line) => line.trim()) || "" })), h("pre", { class: "nbf-source", text: cell.source }))
        : h("pre", { class: "nbf-source", text: cell.source }),
      cell.more ? h("div", { class: "nbf-soft", text: `${count(cell.more, "output")} before these` }) : null,
      (cell.outputs || []).map((each, i) => this.output(each, `${cell.index} ${i}`)),
    );
  }

  output(output, key) {
    if (output.image) {
      const image = h("img", { alt: output.text || "output of the cell", class: "nbf-image" });
      // In an image element not even an SVG can run anything.
      image.src = output.mime === "image/svg+xml" ? `data:image/svg+xml;charset=utf-8,${encodeURIComponent(output.image)}` : `data:${output.mime};base64,${output.image}`;
      return image;
    }
    const text = output.text ? h("pre", { class: `nbf-out nbf-${output.kind === "error" ? "bad" : output.kind === "stderr" ? "warn" : "ok"}`, text: output.text }) : null;
    if (!output.html) return text;
    const frame = h("details", { "data-key": `html ${key}` }, h("summary", { text: "as a page" }));
    frame.addEventListener("toggle", () => {
      if (frame.open && !frame.querySelector("iframe")) frame.append(sandboxed(output.html));
    });
    return [text, frame];
  }

  show_logs(d) {
    if (!d.lines.length) {
      fill(this.body, h("div", { class: "nbf-soft", text: "Nothing has been printed." }));
      return;
    }
    const lines = d.lines.map((line) =>
      h(
        "div",
        { class: `nbf-log nbf-${line.stream === "stderr" ? "warn" : "ok"}` },
        h("span", { class: "nbf-soft", text: `${line.at ? new Date(line.at * 1000).toTimeString().slice(0, 8) : ""} ${line.cell === null || line.cell < 0 ? "" : `[${line.cell}]`}` }),
        h("span", { text: line.text }),
      ),
    );
    fill(this.body, lines);
  }

  show_resources(d) {
    const { samples } = d;
    const series = [
      ["CPU", (s) => s.cpu, (n) => `${Math.round(n)}%`],
      ["memory", (s) => s.memory, bytes],
      ["disk read", (s) => s.read, (n) => `${bytes(n)}/s`],
      ["disk write", (s) => s.written, (n) => `${bytes(n)}/s`],
      ["IO wait", (s) => s.wait, (n) => `${Math.round(n)}%`],
      ["network", (s) => s.network, (n) => `${bytes(n)}/s`],
      ["GPU", (s) => s.gpu, (n) => `${Math.round(n)}%`],
      ["threads", (s) => s.threads, String],
    ];
    const shown = series.filter(([, of]) => samples.some((s) => of(s) !== null && of(s) !== undefined));
    fill(
      this.body,
      !samples.length && !d.sum ? h("div", { class: "nbf-soft", text: "No samples yet." }) : null,
      samples.length ? h("div", { class: "nbf-sparks" }, shown.map(([label, of, words]) => spark(label, samples.map((s) => [s.at, of(s) || 0]), words))) : null,
      d.sum ? facts(sumFacts(d.sum)) : null,
    );
  }

  show_attempts(d) {
    const at = (s) => (s === undefined ? "" : duration(s));
    const rows = d.attempts.map((a) => [
      a.number,
      a.end || "going on",
      at(a.started),
      a.started !== undefined && a.ended !== undefined ? duration(a.ended - a.started) : "",
      a.cpu_s === undefined ? "" : `${duration(a.cpu_s)}`,
      a.memory ? bytes(a.memory) : "",
      (a.worker || "").replace(/^.*:\/\//, ""),
      a.why,
    ]);
    fill(this.body, rows.length ? table(["attempt", "end", "began at", "took", "CPU", "memory", "worker", "why"], rows) : h("div", { class: "nbf-soft", text: "It has not been tried yet." }));
  }

  show_story(d) {
    const rows = d.story.map((each) => [each.seq, duration(each.at), each.type, each.attempt || "", each.text]);
    fill(this.body, rows.length ? table(["seq", "at", "event", "attempt", ""], rows) : h("div", { class: "nbf-soft", text: "Nothing has happened yet." }));
  }
}

function table(heads, rows) {
  return h(
    "table",
    { class: "nbf-plain" },
    h("thead", {}, h("tr", {}, heads.map((text) => h("th", { scope: "col", text })))),
    h("tbody", {}, rows.map((row) => h("tr", {}, row.map((text) => h("td", { text: String(text ?? "") }))))),
  );
}

function sumFacts(sum) {
  const pairs = [
    ["CPU", `${duration(sum.cpu_s || 0)}, ${Math.round(sum.cpu_percent_mean || 0)}% on average, ${Math.round(sum.cpu_percent_peak || 0)}% at most`],
    ["memory", `${bytes(sum.memory_bytes_mean || 0)} on average, ${bytes(sum.memory_bytes_peak || 0)} at most`],
    ["disk", `${bytes(sum.read_bytes || 0)} read, ${bytes(sum.written_bytes || 0)} written, ${duration(sum.io_wait_s || 0)} waited`],
  ];
  if (sum.network_bytes) pairs.push(["network", bytes(sum.network_bytes)]);
  if (sum.gpu_percent_mean) pairs.push(["GPU", `${Math.round(sum.gpu_percent_mean)}% on average, ${bytes(sum.gpu_memory_bytes_peak || 0)} at most`]);
  return [...pairs, ["processes", `${sum.processes_peak || 0}, ${sum.threads_peak || 0} threads`]];
}

const SVG = "http://www.w3.org/2000/svg";

/** A small line with its latest and highest value. */
function spark(label, points, words) {
  const values = points.map(([, value]) => value);
  const peak = Math.max(...values, 0);
  const [from, to] = [points[0]?.[0] ?? 0, points.at(-1)?.[0] ?? 1];
  const x = (at) => (to > from ? (100 * (at - from)) / (to - from) : 100);
  const line = points.map(([at, value]) => `${x(at).toFixed(1)},${(29 - (27 * value) / (peak || 1)).toFixed(1)}`).join(" ");
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 100 30");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  for (const [tag, attributes] of [
    ["polygon", { points: `0,30 ${line} 100,30`, class: "nbf-under" }],
    ["polyline", { points: line, class: "nbf-over", "vector-effect": "non-scaling-stroke" }],
  ]) {
    const el = document.createElementNS(SVG, tag);
    for (const [key, value] of Object.entries(attributes)) el.setAttribute(key, value);
    svg.append(el);
  }
  return h(
    "div",
    { class: "nbf-spark" },
    h("div", { class: "nbf-line" }, h("span", { text: label }), h("b", { text: values.length ? words(values.at(-1)) : "" }), h("span", { class: "nbf-soft", text: peak ? `peak ${words(peak)}` : "" })),
    svg,
  );
}

/** A page of a notebook's output: no script runs in it, nothing is fetched, and it has no origin. */
function sandboxed(html) {
  const policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:";
  const frame = h("iframe", { sandbox: "", referrerpolicy: "no-referrer", title: "output of the cell", class: "nbf-frame" });
  frame.srcdoc = `<!doctype html><meta http-equiv="Content-Security-Policy" content="${policy}"><body style="background:#fff;color:#111;font:12px sans-serif">${html}`;
  return frame;
}

/** The address under which the page's own server shows a file, if it can be told from where this
 *  page shows its notebook; files in hidden folders are not served. */
function served(path, folder) {
  const found = /^(.*?\/(?:lab(?:\/workspaces\/[^/]+)?\/tree|notebooks|doc\/tree))\/(.*)$/.exec(window.location.pathname);
  if (!found || !folder || !path.startsWith(`${folder}/`)) return "";
  const here = found[2].split("/").slice(0, -1);
  const rest = path.slice(folder.length + 1).split("/");
  if ([...here, ...rest].some((part) => part.startsWith("."))) return "";
  return [found[1], ...here, ...rest.map(encodeURIComponent)].join("/");
}
