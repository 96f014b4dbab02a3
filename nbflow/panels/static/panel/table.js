// --- the table ---------------------------------------------------------------------------------

const COLUMNS = [
  ["state", "state", (s, i) => urgency(s, i)],
  ["node", "node", null],
  ["cells", "cells", (s, i) => (s.total[i] ? s.done[i] / s.total[i] : -1)],
  ["time", "time", (s, i) => zero(s.elapsed(i))],
  ["cpu", "CPU", (s, i) => s.cpu[i]],
  ["memory", "memory", (s, i) => zero(s.memory[i])],
  ["note", "now", null],
  ["worker", "worker", (s, i) => s.worker[i]],
];

const zero = (n) => (Number.isFinite(n) ? n : -1);
const URGENT = ["failed", "in_doubt", "backing_off", "running", "queued", "ready", "waiting", "cancelled", "skipped", "succeeded"];
const urgency = (store, i) => -URGENT.indexOf(store.look(i).name);

/** All nodes; only the rows in sight are elements. */
class TableView {
  constructor(shell) {
    this.shell = shell;
    this.store = shell.store;
    const { left } = this.store;
    this.sort = left.table.sort || { column: "", down: true };
    this.states = left.table.states || new Set();
    this.text = left.table.text || "";
    this.cursor = -1;
    this.order = [];
    this.id = `nbf-${Math.random().toString(36).slice(2)}`;
    this.search = h("input", {
      type: "search",
      placeholder: "filter  /",
      "aria-label": "Filter nodes by name or state",
      oninput: () => this.filter(),
      onkeydown: (e) => this.searchKey(e),
    });
    this.search.value = this.text;
    this.tally = h("span", { class: "nbf-soft" });
    this.heads = h("div", { class: "nbf-row nbf-heads", role: "row" });
    this.window = h("div", { class: "nbf-window", role: "rowgroup" });
    this.space = h("div", { class: "nbf-space", role: "presentation" }, this.window);
    this.scroller = h(
      "div",
      { class: "nbf-scroll", tabindex: "0", role: "grid", "aria-label": "Nodes of the run. j and k move, Enter chooses, f goes to the next failure, slash filters." },
      h("div", { role: "rowgroup", class: "nbf-headgroup" }, this.heads),
      this.space,
    );
    this.el = h("div", { class: "nbf-table" }, h("div", { class: "nbf-bar" }, this.search, this.tally), this.scroller);
    this.scroller.addEventListener("scroll", () => shell.draw(), { passive: true });
    this.scroller.addEventListener("keydown", (e) => this.key(e));
    this.head();
    this.stale = true;
  }

  head() {
    fill(
      this.heads,
      COLUMNS.map(([key, label]) => {
        const sorted = this.sort.column === key;
        const arrow = sorted ? (this.sort.down ? " ▾" : " ▴") : "";
        return h(
          "div",
          { role: "columnheader", class: `nbf-c-${key}`, "aria-sort": sorted ? (this.sort.down ? "descending" : "ascending") : "none" },
          h("button", { type: "button", onclick: () => this.by(key), text: label + arrow }),
        );
      }),
    );
  }

  by(column) {
    // Down, up, and then the order of the flow again.
    if (this.sort.column !== column) this.sort = { column, down: true };
    else if (this.sort.down) this.sort = { column, down: false };
    else this.sort = { column: "", down: true };
    this.head();
    this.changed();
  }

  filter() {
    this.text = this.search.value.trim().toLowerCase();
    this.changed();
  }

  only(state) {
    if (this.states.has(state)) this.states.delete(state);
    else this.states = new Set([state]);
    this.changed();
  }

  changed() {
    this.stale = true;
    this.shell.draw();
  }

  searchKey(e) {
    if (e.key === "Escape") {
      this.search.value = "";
      this.filter();
    } else if (e.key !== "Enter" && e.key !== "ArrowDown") return;
    this.scroller.focus();
    e.preventDefault();
  }

  key(e) {
    if (e.ctrlKey || e.metaKey || e.altKey) return;
    const page = Math.max(1, Math.floor(this.scroller.clientHeight / ROW) - 2);
    const moves = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -1e9, End: 1e9 };
    if (e.key in moves) this.move(this.cursor + moves[e.key]);
    else if (e.key === "Enter" && this.order[this.cursor] !== undefined) this.store.choose(this.order[this.cursor]);
    else if (e.key === "/") this.search.focus();
    else if (e.key === "f") this.nextFailure();
    else return;
    e.preventDefault();
  }

  nextFailure() {
    for (let step = 1; step <= this.order.length; step += 1) {
      const at = (this.cursor + step) % this.order.length;
      if (this.store.look(this.order[at]).name === "failed") {
        this.move(at);
        this.store.choose(this.order[at]);
        return;
      }
    }
    this.shell.announce("No node has failed", true);
  }

  move(to) {
    if (!this.order.length) return;
    this.cursor = Math.min(this.order.length - 1, Math.max(0, to));
    this.reveal(this.cursor);
    this.shell.draw();
  }

  reveal(at) {
    const { scroller } = this;
    const room = scroller.clientHeight - ROW;
    if (at * ROW < scroller.scrollTop) scroller.scrollTop = at * ROW;
    else if ((at + 1) * ROW > scroller.scrollTop + room) scroller.scrollTop = (at + 1) * ROW - room;
  }

  /** Bring the chosen node into sight. */
  follow(index) {
    const at = this.order.indexOf(index);
    if (at < 0) return;
    this.cursor = at;
    this.reveal(at);
  }

  arrange() {
    const { store, text, states } = this;
    const found = [];
    for (let i = 0; i < store.n; i += 1) {
      if (states.size && !states.has(store.state[i])) continue;
      if (text && !store.structure.names[i].toLowerCase().includes(text) && !store.look(i).word.includes(text)) continue;
      found.push(i);
    }
    const column = COLUMNS.find(([key]) => key === this.sort.column);
    if (column) {
      const { names } = store.structure;
      const sign = this.sort.down ? -1 : 1;
      if (column[2]) {
        const keys = new Float64Array(store.n);
        for (const i of found) keys[i] = column[2](store, i);
        found.sort((a, b) => sign * (keys[a] - keys[b]) || a - b);
      } else {
        const keyOf = column[0] === "node" ? (i) => names[i] : (i) => this.note(i);
        found.sort((a, b) => sign * keyOf(a).localeCompare(keyOf(b)) || a - b);
      }
    }
    this.order = found;
    this.stale = false;
    const all = found.length === store.n;
    say(this.tally, all ? count(store.n, "node") : `${found.length.toLocaleString("en")} of ${count(store.n, "node")}`);
  }

  /** What a node does, what is wrong with it, or what it waits for. */
  note(i) {
    const { store } = this;
    const known = store.found.get(i)?.summary || store.diagnosis.activities[i];
    if (known || store.look(i).name !== "waiting") return known || "";
    const open = store.up[i].filter((each) => !["succeeded", "skipped"].includes(store.look(each).name));
    const more = open.length > 3 ? ` and ${open.length - 3} more` : "";
    return open.length ? `waits for ${open.slice(0, 3).map((each) => store.structure.names[each]).join(", ")}${more}` : "";
  }

  draw() {
    if (!this.scroller.clientHeight) return;
    // Sorting five thousand rows ten times a second helps nobody.
    const now = performance.now();
    if (this.stale || ((this.sort.column || this.states.size || this.text) && now - (this.arranged || 0) > 1000)) {
      this.arrange();
      this.arranged = now;
    }
    const { scroller, order } = this;
    this.space.style.height = `${order.length * ROW}px`;
    const first = Math.max(0, Math.min(Math.floor(scroller.scrollTop / ROW), order.length - 1));
    const rows = Math.min(order.length - first, Math.ceil(scroller.clientHeight / ROW) + 1);
    this.window.style.transform = `translateY(${first * ROW}px)`;
    while (this.window.children.length < rows) this.window.append(this.makeRow());
    for (let k = 0; k < this.window.children.length; k += 1) {
      const el = this.window.children[k];
      el.hidden = k >= rows;
      if (k < rows) this.fillRow(el, order[first + k], first + k);
    }
    scroller.setAttribute("aria-rowcount", order.length + 1);
    const active = this.cursor >= first && this.cursor < first + rows;
    if (active) scroller.setAttribute("aria-activedescendant", `${this.id}-${this.cursor}`);
    else scroller.removeAttribute("aria-activedescendant");
  }

  makeRow() {
    const cells = COLUMNS.map(([key]) => h("div", { role: "gridcell", class: `nbf-c-${key}` }));
    const row = h("div", { class: "nbf-row", role: "row", onclick: () => this.clicked(row) }, cells);
    row.cells_ = cells;
    cells[0].append(h("span", { class: "nbf-glyph", "aria-hidden": "true" }), h("span"));
    cells[2].append(h("span", { class: "nbf-meter" }, h("i")), h("span"));
    return row;
  }

  clicked(row) {
    this.cursor = row.at_;
    this.store.choose(row.node_);
    this.scroller.focus({ preventScroll: true });
  }

  fillRow(el, i, at) {
    const { store } = this;
    const look = store.look(i);
    const c = el.cells_;
    [el.node_, el.at_] = [i, at];
    el.id = `${this.id}-${at}`;
    el.setAttribute("aria-rowindex", at + 2);
    el.setAttribute("aria-selected", store.choice.index === i ? "true" : "false");
    el.classList.toggle("nbf-cursor", at === this.cursor);
    el.dataset.state = look.name;
    el.dataset.node = store.structure.names[i];
    const [glyph, word] = c[0].children;
    say(glyph, look.glyph);
    glyph.style.color = `var(--nbf-text-${store.state[i]})`;
    say(word, look.word + (store.attempt[i] > 1 ? ` (${store.attempt[i]})` : "") + (store.flags[i] & 1 ? ", cached" : ""));
    say(c[1], store.structure.names[i]);
    c[1].title = store.structure.names[i];
    const [meter, cells] = c[2].children;
    meter.hidden = !store.total[i];
    meter.firstChild.style.width = store.total[i] ? `${(100 * store.done[i]) / store.total[i]}%` : "0";
    meter.firstChild.style.background = `var(--nbf-fill-${store.state[i]})`;
    say(cells, store.total[i] ? `${store.done[i]}/${store.total[i]}` : "");
    say(c[3], duration(store.elapsed(i)));
    say(c[4], store.cpu[i] ? `${store.cpu[i]}%` : "");
    say(c[5], store.memory[i] ? bytes(store.memory[i] * 1048576) : "");
    const note = this.note(i);
    say(c[6], note);
    c[6].title = note;
    say(c[7], store.workerName(i));
  }
}
