// --- the header --------------------------------------------------------------------------------

class HeaderView {
  constructor(shell, actions) {
    this.shell = shell;
    this.store = shell.store;
    this.el = h("header", { class: "nbf-head" });
    this.glyph = h("span", { class: "nbf-glyph", "aria-hidden": "true" });
    this.status = h("b");
    this.flow = h("span", { class: "nbf-flow" });
    this.run = h("button", { type: "button", class: "nbf-link nbf-id", title: "Copy the run's name", onclick: () => this.copyId() });
    this.bar = h("span", { class: "nbf-track", role: "progressbar", "aria-label": "Nodes that are done", "aria-valuemin": "0" });
    this.done = h("span");
    this.time = h("span", { title: "Elapsed, and to the end: likely, and a range for four times of five" });
    this.workers = h("span");
    this.cost = h("span", { title: "Processor time that the nodes have used · time for which they held a worker's place" });
    this.links = h("span", { class: "nbf-links" });
    this.chips = h("div", { class: "nbf-chips", role: "group", "aria-label": "Nodes by state; a click filters the table" });
    this.notes = h("div", { class: "nbf-notes" });
    this.buttons = actions ? new RunButtons(shell) : null;
    put(this.el, [
      h(
        "div",
        { class: "nbf-line" },
        h("span", { class: "nbf-title" }, this.flow, h("span", { class: "nbf-status" }, this.glyph, this.status)),
        h("span", { class: "nbf-done" }, this.bar, this.done),
        this.time,
        this.buttons && this.buttons.el,
      ),
      h(
        "div",
        { class: "nbf-line nbf-second" },
        this.chips,
        this.workers,
        this.cost,
        h("span", { class: "nbf-grow" }),
        this.links,
        this.run,
      ),
      this.notes,
    ]);
  }

  copyId() {
    copy(this.store.structure.run);
    this.shell.foot("copied");
  }

  draw() {
    const { store } = this;
    const { summary, structure } = store;
    const look = structure.run_looks[summary.status] || { glyph: "", word: summary.status, colour: "#767b84" };
    say(this.glyph, look.glyph);
    this.glyph.style.color = `var(--nbf-text-${this.shell.stateLike(look)})`;
    say(this.status, look.word);
    say(this.flow, structure.flow);
    say(this.run, structure.run);
    say(this.done, `${summary.finished ?? 0}/${count(store.n, "node")}`);
    this.drawBar();
    say(this.time, this.timeText());
    const { workers } = summary;
    say(this.workers, workers ? `${count(workers.length, "worker")}${workers.some((each) => each[4]) ? " (some paused)" : ""}` : "");
    const cpu = summary.cpu_s ? `${duration(summary.cpu_s)} CPU · ` : "";
    say(this.cost, summary.worker_s ? `${cpu}${duration(summary.worker_s)} worker` : "");
    this.drawLinks();
    this.drawChips();
    const notes = [...(summary.notes || []), ...(store.stopped ? [`the panel has stopped: ${store.stopped}`] : [])];
    if (this.noted !== notes.join("\n")) {
      this.noted = notes.join("\n");
      fill(this.notes, notes.map((each) => h("div", { text: `! ${each}` })));
    }
    if (this.buttons) this.buttons.draw();
  }

  timeText() {
    const { store } = this;
    const elapsed = duration(store.clock());
    const { remaining } = store.diagnosis;
    if (!store.summary.going || !remaining) return elapsed;
    const [likely, low, high] = remaining;
    const range = rough(low) === rough(high) ? "" : ` (${rough(low)} – ${rough(high)})`;
    return `${elapsed} · ends in ~${rough(likely)}${range}`;
  }

  drawBar() {
    const { counts } = this.store.summary;
    const key = counts.join();
    if (key === this.counts && this.bar.childNodes.length) return;
    this.counts = key;
    const { looks } = this.store.structure;
    const parts = looks.map((look, i) => [look, i]).filter(([look, i]) => counts[i] && !["waiting", "ready"].includes(look.name));
    const rank = (name) => ["succeeded", "skipped", "failed", "cancelled", "in_doubt", "backing_off", "running", "queued"].indexOf(name);
    parts.sort((a, b) => rank(a[0].name) - rank(b[0].name));
    fill(
      this.bar,
      parts.map(([look, i]) =>
        h("i", {
          class: look.hollow ? "nbf-hollow" : "",
          style: { width: `${(100 * counts[i]) / Math.max(1, this.store.n)}%`, background: `var(--nbf-fill-${i})` },
        }),
      ),
    );
    this.bar.setAttribute("aria-valuemax", this.store.n);
    this.bar.setAttribute("aria-valuenow", this.store.summary.finished ?? 0);
  }

  drawChips() {
    const { summary, structure } = this.store;
    const chosen = this.shell.table ? [...this.shell.table.states].join() : "";
    const key = `${summary.counts.join()}|${chosen}`;
    if (key === this.chipKey) return;
    this.chipKey = key;
    const chip = (look, i) =>
      h(
        "button",
        {
          type: "button",
          "aria-pressed": this.shell.table?.states.has(i) ? "true" : "false",
          onclick: () => this.shell.only(i),
        },
        h("span", { class: "nbf-glyph", style: { color: `var(--nbf-text-${i})` }, "aria-hidden": "true", text: look.glyph }),
        `${summary.counts[i].toLocaleString("en")} ${look.word}`,
      );
    fill(this.chips, structure.looks.map((look, i) => (summary.counts[i] ? chip(look, i) : null)));
  }

  drawLinks() {
    const { dashboard } = this.store.summary;
    if (dashboard === this.dashboard) return;
    this.dashboard = dashboard;
    fill(this.links, link(dashboard, "Dask dashboard ↗") || (dashboard ? h("span", { text: dashboard }) : null));
  }
}

/** Buttons of the run; what destroys work asks once more. */
class RunButtons {
  constructor(shell) {
    this.shell = shell;
    this.store = shell.store;
    this.cancel = new ActButton(shell, "Cancel", "Cancel the run?", () => ["cancel", {}]);
    this.resume = new ActButton(shell, "Resume", "", () => ["resume", {}]);
    this.text = h("button", { type: "button", title: "Copy the state of the run as text", onclick: () => this.copy(), text: "Copy as text" });
    this.el = h("span", { class: "nbf-buttons" }, this.cancel.el, this.resume.el, this.text);
  }

  copy() {
    copy(asText(this.store));
    this.shell.foot("copied");
  }

  draw() {
    const { summary, gone } = this.store;
    const going = summary.going && summary.driven;
    this.cancel.set({ hidden: !summary.going, disabled: gone || summary.status === "cancelling", label: summary.status === "cancelling" ? "Cancelling" : "Cancel" });
    this.resume.set({ hidden: going || summary.status === "succeeded", disabled: gone || summary.driven });
  }
}

/** A button that asks the kernel for something, and says how far that has got. */
class ActButton {
  constructor(shell, label, question, what) {
    this.shell = shell;
    this.label = label;
    this.question = question;
    this.what = what;
    this.waiting = false;
    this.button = h("button", { type: "button", class: "nbf-act", onclick: () => this.pressed(), text: label });
    this.el = h("span", { class: "nbf-ask" }, this.button);
  }

  set({ hidden, disabled, label }) {
    this.el.hidden = hidden && !this.waiting;
    this.button.disabled = disabled || this.waiting;
    if (!this.waiting) say(this.button, label || this.label);
  }

  pressed() {
    if (!this.question) {
      this.send();
      return;
    }
    const back = (focus) => {
      fill(this.el, this.button);
      if (focus) this.button.focus();
    };
    const yes = h("button", { type: "button", class: "nbf-act nbf-yes", onclick: () => (back(), this.send()), text: `Yes, ${this.label.toLowerCase()}` });
    const no = h("button", { type: "button", onclick: () => back(true), text: "No" });
    const group = h("span", { class: "nbf-ask", role: "group", "aria-label": this.question }, h("span", { text: this.question }), yes, no);
    group.addEventListener("keydown", (e) => e.key === "Escape" && back(true));
    fill(this.el, group);
    yes.focus();
  }

  send() {
    const [action, options] = this.what();
    this.waiting = true;
    this.button.disabled = true;
    say(this.button, `${this.label} …`);
    const { shell } = this;
    shell.foot(`${action}: sent`);
    const busy = setTimeout(() => shell.foot(`${action}: sent; the kernel takes it when its cell has ended`), 4000);
    shell.store.act(action, options, (answer) => {
      clearTimeout(busy);
      if (answer.phase === "taken") {
        shell.foot(`${action}: taken`);
        return;
      }
      this.waiting = false;
      say(this.button, this.label);
      shell.foot(`${action}: ${answer.phase === "refused" ? "refused, " : ""}${answer.text}`, answer.phase === "refused");
      shell.draw();
    });
  }
}

/** The run in plain text, for a message to somebody. */
function asText(store) {
  const { structure, summary, diagnosis } = store;
  const lines = [`${structure.flow}  ${structure.run}  ${summary.status}  ${summary.finished}/${count(store.n, "node")}  ${duration(store.clock())}`];
  for (const each of diagnosis.findings) {
    lines.push(`${each.severity}: ${each.node || "run"}: ${each.word}: ${each.summary}`);
    if (each.suggestions.length) lines.push(`    -> ${each.suggestions[0]}`);
  }
  const order = [...Array(store.n).keys()].sort((a, b) => urgency(store, b) - urgency(store, a) || a - b).slice(0, 200);
  const wide = Math.max(4, ...order.map((i) => structure.names[i].length));
  for (const i of order) {
    const look = store.look(i);
    const cells = store.total[i] ? `${store.done[i]}/${store.total[i]}` : "";
    lines.push(`${look.glyph} ${look.word.padEnd(11)} ${structure.names[i].padEnd(wide)} ${cells.padStart(7)} ${duration(store.elapsed(i)).padStart(12)}  ${store.workerName(i)}`.trimEnd());
  }
  if (store.n > order.length) lines.push(`… and ${count(store.n - order.length, "more node")}`);
  return lines.join("\n");
}
