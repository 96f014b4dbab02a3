// --- the timeline ------------------------------------------------------------------------------

/** A Gantt chart, by worker or by node; the wait in the queue and the work are two pieces of a bar. */
class TimelineView {
  constructor(shell) {
    this.shell = shell;
    this.store = shell.store;
    this.byWorker = Boolean(this.store.left.timeline.byWorker);
    this.zoomed = this.store.left.timeline.zoomed || null;
    this.canvas = h("canvas", { role: "img", "aria-label": "Timeline of the run; the table has the same figures" });
    this.space = h("div", { class: "nbf-space" });
    this.scroller = h("div", { class: "nbf-scroll", tabindex: "0", role: "region", "aria-label": "Timeline" }, this.canvas, this.space);
    this.toggle = h("button", { type: "button", onclick: () => this.turn() });
    this.wider = h("button", { type: "button", title: "All of it", "aria-label": "Show all of the time", text: "⤢", onclick: () => this.all() });
    this.el = h("div", { class: "nbf-timeline" }, this.scroller, h("div", { class: "nbf-tools" }, this.wider, this.toggle));
    this.scroller.addEventListener("scroll", () => shell.draw(), { passive: true });
    this.canvas.addEventListener("click", (e) => this.clicked(e));
    this.canvas.addEventListener("mousemove", (e) => this.hover(e));
    this.scroller.addEventListener("wheel", (e) => this.wheel(e), { passive: false });
    this.label();
  }

  label() {
    say(this.toggle, this.byWorker ? "by node" : "by worker");
    this.toggle.setAttribute("aria-label", `Show the timeline ${this.toggle.textContent}`);
  }

  turn() {
    this.byWorker = !this.byWorker;
    this.label();
    this.shell.draw();
  }

  all() {
    this.zoomed = null;
    this.shell.draw();
  }

  wheel(e) {
    if (!e.ctrlKey && !e.metaKey && !(e.shiftKey && this.zoomed)) return;
    e.preventDefault();
    const [from, to] = this.span();
    if (e.shiftKey) {
      const by = ((to - from) * (e.deltaX || e.deltaY)) / 800;
      this.zoomed = [from + by, to + by];
    } else {
      const share = Math.min(1, Math.max(0, (e.offsetX - this.left) / this.width));
      const at = from + (to - from) * share;
      const by = Math.exp(e.deltaY / 400);
      this.zoomed = [Math.max(0, at - (at - from) * by), at + (to - at) * by];
    }
    this.shell.draw();
  }

  span() {
    return this.zoomed || [0, Math.max(1, this.store.clock() * 1.02)];
  }

  /** Rows of nodes: one for each that has begun, or as many as a worker had at once. */
  rows() {
    const { store } = this;
    const begun = [];
    for (let i = 0; i < store.n; i += 1) {
      if (Number.isFinite(store.started[i]) || (Number.isFinite(store.queued[i]) && store.look(i).name === "queued")) begun.push(i);
    }
    if (!this.byWorker) {
      begun.sort((a, b) => start(store, a) - start(store, b) || a - b);
      return begun.map((i) => ({ label: store.structure.names[i], nodes: [i] }));
    }
    const lanes = new Map();
    const ran = begun.filter((i) => Number.isFinite(store.started[i]));
    ran.sort((a, b) => store.started[a] - store.started[b]);
    for (const i of ran) {
      const found = lanes.get(store.worker[i]) || [];
      lanes.set(store.worker[i], found);
      const free = found.find((lane) => lane.until <= store.started[i] + 1e-3);
      const lane = free || { nodes: [], until: 0 };
      if (!free) found.push(lane);
      lane.nodes.push(i);
      lane.until = Number.isFinite(store.ended[i]) ? store.ended[i] : Infinity;
    }
    return [...lanes.values()].flatMap((found) =>
      found.map((lane, k) => ({ label: k ? "" : store.workerName(lane.nodes[0]) || "worker", nodes: lane.nodes })),
    );
  }

  draw(palette) {
    const rows = (this.current = this.rows());
    say(this.space, "");
    this.space.style.height = `${rows.length * ROW + 24}px`;
    const size = sized(this.canvas);
    if (!size) return;
    const [width, height, c] = size;
    this.left = Math.min(170, width * 0.3);
    this.width = width - this.left - 10;
    const top = this.scroller.scrollTop;
    const [from, to] = this.span();
    const x = (at) => this.left + ((at - from) / (to - from)) * this.width;
    this.axis(c, palette, height, from, to, x);
    c.save();
    c.beginPath();
    c.rect(0, 20, width, height - 20);
    c.clip();
    const first = Math.max(0, Math.floor(top / ROW));
    const end = Math.min(rows.length, Math.ceil((top + height) / ROW));
    for (let r = first; r < end; r += 1) this.row(c, palette, rows[r], 22 + r * ROW - top, x);
    c.restore();
  }

  axis(c, palette, height, from, to, x) {
    c.font = `11px ${palette.font}`;
    c.textBaseline = "middle";
    c.textAlign = "center";
    const rough = (to - from) / Math.max(2, this.width / 90);
    const steps = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400];
    const step = steps.find((each) => each >= rough) || 86400 * Math.ceil(rough / 86400);
    for (let at = Math.ceil(from / step) * step; at <= to; at += step) {
      c.fillStyle = css(palette.line);
      c.fillRect(x(at), 20, 1, height);
      c.fillStyle = css(palette.soft);
      c.fillText(at < 9.95 && step < 1 ? `${at.toFixed(1)} s` : duration(at).replace(/^(\d)\.0 s/, "$1 s"), x(at), 10);
    }
  }

  row(c, palette, row, y, x) {
    const { store } = this;
    c.textAlign = "left";
    c.fillStyle = css(palette.soft);
    c.font = `12px ${palette.font}`;
    if (row.label) c.fillText(cut(c, row.label, this.left - 16), 8, y + ROW / 2);
    const edge = this.left + this.width;
    for (const i of row.nodes) {
      const fill = palette.fills[store.state[i]];
      const begin = store.started[i];
      const end = Number.isFinite(store.ended[i]) && store.ended[i] >= begin ? store.ended[i] : store.clock();
      if (!this.byWorker && Number.isFinite(store.queued[i])) {
        const until = Number.isFinite(begin) ? begin : store.clock();
        const a = Math.max(this.left, x(store.queued[i]));
        const b = Math.min(edge, x(until));
        c.strokeStyle = css(palette.edge);
        c.lineWidth = 1;
        if (b - a > 1.5) c.strokeRect(a, y + 8.5, b - a, ROW - 17);
      }
      if (!Number.isFinite(begin)) continue;
      const a = Math.max(this.left, x(begin));
      const b = Math.min(edge, x(end));
      if (b < this.left || a > edge) continue;
      this.bar(c, palette, i, fill, a, Math.max(2, b - a), y);
    }
  }

  bar(c, palette, i, fill, a, width, y) {
    const { store } = this;
    c.fillStyle = css(fill);
    c.beginPath();
    c.roundRect(a, y + 3, width, ROW - 6, Math.min(3, width / 2));
    c.fill();
    if (store.choice.index === i) {
      c.strokeStyle = css(palette.ink);
      c.lineWidth = 2;
      c.stroke();
    }
    if (width < 18) return;
    c.fillStyle = contrast(fill, [255, 255, 255]) > contrast(fill, [17, 17, 17]) ? "#fff" : "#111";
    c.font = `11px ${palette.font}`;
    const text = `${store.look(i).glyph} ${this.byWorker ? store.structure.names[i] : duration(store.elapsed(i))}`;
    // Half a figure would be a wrong one.
    const fits = this.byWorker || c.measureText(text).width <= width - 8;
    c.fillText(cut(c, fits ? text : store.look(i).glyph, width - 8), a + 5, y + ROW / 2 + 0.5);
  }

  found(e) {
    if (!this.current) return -1;
    const row = this.current[Math.floor((e.offsetY - 22 + this.scroller.scrollTop) / ROW)];
    if (!row || e.offsetY < 20) return -1;
    const [from, to] = this.span();
    const at = from + ((e.offsetX - this.left) / this.width) * (to - from);
    if (row.nodes.length === 1) return row.nodes[0];
    const end = (i) => (Number.isFinite(this.store.ended[i]) ? this.store.ended[i] : this.store.clock());
    return row.nodes.find((i) => at >= this.store.started[i] && at <= end(i)) ?? -1;
  }

  clicked(e) {
    const i = this.found(e);
    if (i >= 0) this.store.choose(i);
  }

  hover(e) {
    const i = this.found(e);
    this.canvas.style.cursor = i >= 0 ? "pointer" : "";
    if (i < 0) {
      this.canvas.title = "";
      return;
    }
    const { store } = this;
    const waited = store.started[i] - store.queued[i];
    const queue = Number.isFinite(waited) && waited > 0.05 ? `, ${duration(waited)} in the queue` : "";
    this.canvas.title = `${store.structure.names[i]}: ${store.look(i).word}, ${duration(store.elapsed(i))}${queue}`;
  }
}

function start(store, i) {
  return Number.isFinite(store.started[i]) ? store.started[i] : store.queued[i];
}
