// The panel of a run, for anywidget: one file, no dependencies, nothing that only one front end has.
//
// Theory of operation. `Store` is shared by all views of a model: columns of numbers, one entry per
// node, filled from a snapshot when the page opens and from binary records afterwards. Each view
// (`Shell`) has parts (header, graph, timeline, table, node) that draw themselves from the store in
// one animation frame, however many messages have come since the last.
//
// Text of notebooks is foreign. It only ever becomes text nodes, attributes that hold no code, images,
// or the source of a sandboxed frame in which nothing runs. Nothing here sets innerHTML.

const RECORD_SIZE = 32; // bytes; see nbflow/panels/wire.py
const ROW = 22; // pixels
const BOX = { width: 164, height: 40 };
const SILENT_S = 16; // a kernel that drives a run says something every 5 s
const LIVE_REGION_S = 5;

// --- small helpers -----------------------------------------------------------------------------

/** Make an element: properties, `on…` listeners, children that are elements or text. */
function h(tag, props, ...children) {
  const el = document.createElement(tag);
  for (const [key, value] of Object.entries(props || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) el.addEventListener(key.slice(2), value);
    else if (key === "class") el.className = value;
    else if (key === "text") el.textContent = value;
    else if (key === "style") Object.assign(el.style, value);
    else el.setAttribute(key, value === true ? "" : value);
  }
  put(el, children);
  return el;
}

function put(el, children) {
  for (const child of children.flat(Infinity)) {
    if (child !== null && child !== undefined && child !== false) el.append(child);
  }
}

function fill(el, ...children) {
  el.replaceChildren();
  put(el, children);
}

/** Set text only where it differs: readers of screens are told of nothing that has not changed. */
function say(el, text) {
  if (el.textContent !== text) el.textContent = text;
}

function duration(s) {
  if (!Number.isFinite(s)) return "";
  if (s < 9.95) return `${Math.max(0, s).toFixed(1)} s`;
  const whole = Math.round(s);
  const two = (n) => String(n).padStart(2, "0");
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`;
  if (whole < 86400) return `${Math.floor(whole / 3600)} h ${two(Math.floor((whole % 3600) / 60))} min`;
  return `${Math.floor(whole / 86400)} d ${Math.floor((whole % 86400) / 3600)} h`;
}

/** A length of time that is only expected: no digits that nobody knows. */
function rough(s) {
  if (s < 10) return `${Math.max(1, Math.round(s))} s`;
  if (s < 55) return `${5 * Math.round(s / 5)} s`;
  if (s < 3570) return `${Math.round(s / 60)} min`;
  if (s < 86400) return `${(s / 3600).toFixed(s < 36000 ? 1 : 0)} h`;
  return `${(s / 86400).toFixed(1)} d`;
}

function bytes(n) {
  if (n === null || n === undefined || !Number.isFinite(n)) return "";
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  while (n >= 999.5 && unit < units.length - 1) {
    n /= 1000;
    unit += 1;
  }
  return `${n < 9.95 && unit ? n.toFixed(1) : Math.round(n)} ${units[unit]}`;
}

const count = (n, noun) => `${n.toLocaleString("en")} ${noun}${n === 1 ? "" : "s"}`;
const last = (path) => path.split("/").at(-1);
const isWeb = (url) => /^https?:\/\//.test(url || "");

function link(url, text, title) {
  return isWeb(url) ? h("a", { href: url, target: "_blank", rel: "noopener noreferrer", title, text }) : null;
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Frames of other origins may not use the clipboard; a selection can be copied everywhere.
    const area = h("textarea", { style: { position: "fixed", opacity: "0" } });
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
}

// --- colours -----------------------------------------------------------------------------------

function rgb(text) {
  const hex = /^#([0-9a-f]{6})$/i.exec(text);
  if (hex) return [0, 2, 4].map((at) => parseInt(hex[1].slice(at, at + 2), 16));
  const short = /^#([0-9a-f]{3})$/i.exec(text);
  if (short) return [...short[1]].map((digit) => parseInt(digit + digit, 16));
  const parts = (text.match(/[\d.]+/g) || [255, 255, 255]).map(Number);
  return parts.slice(0, 3);
}

const mix = (a, b, share) => a.map((value, i) => Math.round(value + (b[i] - value) * share));
const css = (colour) => `rgb(${colour.join(",")})`;

function luminance(colour) {
  const [r, g, b] = colour.map((v) => (v / 255 <= 0.03928 ? v / 3294.6 : ((v / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

function contrast(a, b) {
  const [high, low] = [luminance(a), luminance(b)].sort((x, y) => y - x);
  return (high + 0.05) / (low + 0.05);
}

/** Move `colour` away from `ground` until text in it can be read. */
function readable(colour, ground, least) {
  const away = luminance(ground) > 0.4 ? [0, 0, 0] : [255, 255, 255];
  let found = colour;
  for (let share = 0; share <= 1 && contrast(found, ground) < least; share += 0.05) {
    found = mix(colour, away, share);
  }
  return found;
}

/** The theme as it is where the panel stands, and the looks' colours fitted to it. */
class Palette {
  constructor(el, looks) {
    const style = getComputedStyle(el);
    this.ground = rgb(style.getPropertyValue("background-color"));
    this.ink = rgb(style.getPropertyValue("color"));
    this.soft = readable(mix(this.ink, this.ground, 0.35), this.ground, 4.6);
    this.line = mix(this.ink, this.ground, 0.8);
    this.edge = mix(this.ink, this.ground, 0.62);
    this.font = style.getPropertyValue("font-family");
    this.fills = looks.map((look) => readable(rgb(look.colour), this.ground, 3));
    this.texts = looks.map((look) => readable(rgb(look.colour), mix(this.ground, this.ink, 0.06), 4.6));
    el.style.setProperty("--nbf-soft", css(this.soft));
    el.style.setProperty("--nbf-line", css(this.line));
    looks.forEach((look, i) => {
      for (const key of [i, look.name]) {
        el.style.setProperty(`--nbf-fill-${key}`, css(this.fills[i]));
        el.style.setProperty(`--nbf-text-${key}`, css(this.texts[i]));
      }
    });
  }
}

// --- the store ---------------------------------------------------------------------------------

/** What is known of the run, shared by all views of one model. */
class Store {
  constructor() {
    this.views = new Set();
    // How a view was left. Front ends make views anew: at a run's end, for one, when a notebook's
    // snapshot is replaced.
    this.left = { view: "graph", height: "", table: {}, timeline: {}, graph: {} };
    this.seq = 0;
    this.pending = 0;
    this.asked = 0;
    this.clockBase = 0;
    this.clockAt = performance.now();
    this.heardAt = performance.now();
    this.gone = false;
    this.stopped = "";
    this.summary = { counts: [], addresses: [], notes: [], workers: null, status: "submitted", going: true };
    this.diagnosis = { findings: [], activities: {}, critical: [], remaining: null, resources: {} };
    this.found = new Map();
    this.detail = null;
    this.choice = { index: -1, tab: "overview" };
    this.acks = new Map();
    this.history = [];
    this.received = { messages: 0, bytes: 0, gaps: 0 };
    this.structure = { names: [], kinds: [], edges: [], looks: [], run_looks: {}, run: "", flow: "" };
    this.picture = { boxes: [], links: [], layers: 0, extent: 0 };
    this.size(0);
  }

  attach(model) {
    this.model = model;
    this.loadStructure();
    this.loadPicture();
    this.loadSnapshot();
    model.on("change:structure", () => {
      this.loadStructure();
      this.post({ t: "all" });
      this.tell("all");
    });
    model.on("change:picture", () => {
      this.loadPicture();
      this.tell("picture");
    });
    model.on("comm_live_update", () => this.doubt());
    model.on("msg:custom", (message, buffers) => this.take(message, buffers));
    this.post({ t: "hello" });
  }

  loadStructure() {
    const text = this.model.get("structure");
    if (text) this.structure = JSON.parse(text);
    this.size(this.structure.names.length);
    this.down = this.structure.names.map(() => []);
    this.up = this.structure.names.map(() => []);
    const edges = this.structure.edges;
    for (let i = 0; i < edges.length; i += 2) {
      this.down[edges[i]].push(edges[i + 1]);
      this.up[edges[i + 1]].push(edges[i]);
    }
  }

  loadPicture() {
    const text = this.model.get("picture");
    if (text) this.picture = JSON.parse(text);
  }

  loadSnapshot() {
    const summary = this.model.get("summary");
    if (summary) Object.assign(this.summary, JSON.parse(summary));
    const view = asView(this.model.get("snapshot"));
    if (!view || view.byteLength < 8) return;
    this.seq = view.getUint32(0, true);
    this.setClock(view.getFloat32(4, true));
    this.apply(new DataView(view.buffer, view.byteOffset + 8, view.byteLength - 8));
  }

  size(n) {
    this.n = n;
    for (const name of ["state", "flags"]) this[name] = new Uint8Array(n);
    for (const name of ["done", "total", "attempt", "cpu", "worker"]) this[name] = new Uint16Array(n);
    for (const name of ["queued", "started", "ended", "memory"]) this[name] = new Float32Array(n).fill(NaN);
  }

  apply(view) {
    for (let at = 0; at + RECORD_SIZE <= view.byteLength; at += RECORD_SIZE) {
      const i = view.getUint32(at, true);
      if (i >= this.n) continue;
      this.state[i] = view.getUint8(at + 4);
      this.flags[i] = view.getUint8(at + 5);
      this.done[i] = view.getUint16(at + 6, true);
      this.total[i] = view.getUint16(at + 8, true);
      this.attempt[i] = view.getUint16(at + 10, true);
      this.cpu[i] = view.getUint16(at + 12, true);
      this.worker[i] = view.getUint16(at + 14, true);
      this.queued[i] = view.getFloat32(at + 16, true);
      this.started[i] = view.getFloat32(at + 20, true);
      this.ended[i] = view.getFloat32(at + 24, true);
      this.memory[i] = view.getFloat32(at + 28, true);
    }
  }

  take(message, buffers) {
    if (!message || !message.t) return;
    this.received.messages += 1;
    this.received.bytes += (message.j || "").length + (buffers || []).reduce((sum, b) => sum + b.byteLength, 0);
    this.heardAt = performance.now();
    this.gone = false;
    if (message.seq !== this.seq + 1 && message.seq > this.seq) this.missed();
    this.seq = Math.max(this.seq, message.seq);
    this.acknowledge();
    const data = message.j ? JSON.parse(message.j) : null;
    const act = this[`on_${message.t}`];
    if (act) act.call(this, data, buffers);
  }

  /** Send something to the kernel; a connection that is gone refuses at once. */
  post(message) {
    try {
      this.model.send(message);
    } catch {
      this.disconnect();
    }
  }

  missed() {
    this.received.gaps += 1;
    // One answer mends any number of gaps.
    if (performance.now() - this.asked < 2000) return;
    this.asked = performance.now();
    this.post({ t: "all" });
  }

  acknowledge() {
    this.pending += 1;
    if (this.pending < 8 && this.ackTimer) return;
    const answer = () => {
      clearTimeout(this.ackTimer);
      this.ackTimer = null;
      this.pending = 0;
      this.post({ t: "ok", seq: this.seq });
    };
    if (this.pending >= 8) answer();
    else this.ackTimer = setTimeout(answer, 1500);
  }

  on_records(data, buffers) {
    this.setClock(data.now);
    this.apply(asView(buffers[0]));
    this.sample();
    this.tell("nodes");
  }

  on_beat(data) {
    this.setClock(data.now);
    this.tell("head");
  }

  on_summary(data) {
    Object.assign(this.summary, data);
    this.tell("head");
  }

  on_diagnosis(data) {
    this.diagnosis = { findings: [], activities: {}, critical: [], remaining: null, resources: {}, ...data };
    this.found = new Map([...this.diagnosis.findings].reverse().map((each) => [each.index, each]));
    this.tell("diagnosis");
  }

  on_detail(data) {
    this.detail = data;
    this.tell("detail");
  }

  on_ack(data) {
    this.acks.get(data.id)?.(data);
  }

  on_stopped(text) {
    this.stopped = text;
    this.tell("head");
  }

  /** What all running nodes use together, once a second at most, for sparklines. */
  sample() {
    const at = this.clock();
    if (this.history.length && at - this.history.at(-1).at < 1) return;
    let cpu = 0;
    let memory = 0;
    for (let i = 0; i < this.n; i += 1) {
      if (this.look(i).name !== "running") continue;
      cpu += this.cpu[i];
      memory += (this.memory[i] || 0) * 1048576;
    }
    this.history.push({ at, cpu, memory });
    if (this.history.length > 240) this.history.shift();
  }

  setClock(seconds) {
    this.clockBase = seconds;
    this.clockAt = performance.now();
  }

  /** Seconds since the run was created, by the kernel's clock. */
  clock() {
    if (this.summary.ended !== null && this.summary.ended !== undefined) return this.summary.ended;
    if (this.gone) return this.clockBase;
    return this.clockBase + (performance.now() - this.clockAt) / 1000;
  }

  elapsed(i) {
    if (!Number.isFinite(this.started[i])) return NaN;
    if (Number.isFinite(this.ended[i])) return this.ended[i] - this.started[i];
    return this.look(i).name === "running" ? this.clock() - this.started[i] : NaN;
  }

  look(i) {
    return this.structure.looks[this.state[i]] || { glyph: "○", word: "", name: "", hollow: true };
  }

  workerName(i) {
    const address = this.summary.addresses[this.worker[i] - 1] || "";
    const known = (this.summary.workers || []).find((each) => each[0] === address);
    return (known && known[1]) || address.replace(/^.*:\/\//, "");
  }

  /** The page of a node's worker; there are none without Dask's dashboard. */
  workerPage(i) {
    if (!this.summary.dashboard) return "";
    const address = this.summary.addresses[this.worker[i] - 1] || "";
    const known = (this.summary.workers || []).find((each) => each[0] === address);
    return known ? known[2] : "";
  }

  choose(index, tab) {
    this.choice = { index, tab: tab || this.choice.tab };
    if (!this.detail || this.detail.index !== index || this.detail.tab !== this.choice.tab) this.detail = null;
    this.post({ t: "choose", index, tab: this.choice.tab });
    this.tell("choice");
  }

  act(action, options, answer) {
    const id = `${Date.now().toString(36)}-${Math.random().toString(36).slice(2)}`;
    this.acks.set(id, answer);
    this.post({ t: "act", id, action, ...options });
    return id;
  }

  /** The front end says that something about the connection has changed: ask, and wait a little. */
  doubt() {
    const asked = performance.now();
    this.post({ t: "hello" });
    setTimeout(() => this.heardAt < asked && this.disconnect(), 3000);
  }

  disconnect() {
    this.gone = true;
    this.tell("head");
  }

  tell(what) {
    for (const view of this.views) view.changed(what);
  }
}



function asView(data) {
  if (!data) return null;
  if (data instanceof DataView) return data;
  if (data instanceof ArrayBuffer) return new DataView(data);
  return new DataView(data.buffer, data.byteOffset, data.byteLength);
}

// --- the graph ---------------------------------------------------------------------------------

/** The picture of the graph on a canvas. */
class GraphView {
  constructor(shell) {
    this.shell = shell;
    this.store = shell.store;
    this.canvas = h("canvas", {
      tabindex: "0",
      role: "application",
      "aria-roledescription": "graph",
      "aria-label": "Graph of the run. Arrow keys go from node to node, Enter chooses, plus and minus zoom, 0 fits.",
    });
    const tool = (label, text, act) => h("button", { type: "button", title: label, "aria-label": label, onclick: act, text });
    this.el = h(
      "div",
      { class: "nbf-graph" },
      this.canvas,
      h(
        "div",
        { class: "nbf-tools" },
        tool("Zoom in", "+", () => this.zoom(1.3)),
        tool("Zoom out", "−", () => this.zoom(1 / 1.3)),
        tool("Fit", "⤢", () => this.fit()),
        (this.closer = tool("Close all groups", "⊟", () => this.store.post({ t: "open", key: "" }))),
      ),
    );
    this.cursor = -1;
    this.listen();
    this.reload();
    this.view = this.store.left.graph.view || { k: 1, x: 0, y: 0 };
    this.fitted = this.store.left.graph.fitted ?? true;
  }

  listen() {
    const { canvas } = this;
    canvas.addEventListener("pointerdown", (e) => {
      this.drag = { x: e.clientX, y: e.clientY, from: { ...this.view }, moved: false };
      canvas.setPointerCapture(e.pointerId);
    });
    canvas.addEventListener("pointermove", (e) => this.moved(e));
    canvas.addEventListener("pointerup", (e) => {
      if (this.drag && !this.drag.moved) this.clicked(this.at(e));
      this.drag = null;
    });
    canvas.addEventListener("pointercancel", () => (this.drag = null));
    canvas.addEventListener(
      "wheel",
      (e) => {
        // A page is scrolled by the wheel alone; the picture is zoomed where it was asked for.
        if (!e.ctrlKey && !e.metaKey && document.activeElement !== canvas) return;
        e.preventDefault();
        this.zoom(Math.exp(-e.deltaY / 400), e.offsetX, e.offsetY);
      },
      { passive: false },
    );
    canvas.addEventListener("keydown", (e) => this.key(e));
    canvas.addEventListener("blur", () => this.shell.draw());
    canvas.addEventListener("focus", () => this.shell.draw());
  }

  moved(e) {
    const { drag } = this;
    if (!drag) {
      const found = this.at(e);
      this.canvas.style.cursor = found >= 0 ? "pointer" : "grab";
      this.canvas.title = found >= 0 ? this.describe(found) : "";
      return;
    }
    const [dx, dy] = [e.clientX - drag.x, e.clientY - drag.y];
    if (Math.abs(dx) + Math.abs(dy) > 4) drag.moved = true;
    if (!drag.moved) return;
    this.view = { ...drag.from, x: drag.from.x + dx, y: drag.from.y + dy };
    this.fitted = false;
    this.shell.draw();
  }

  key(e) {
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -1, ArrowDown: 1 };
    if (e.key === "+" || e.key === "=") this.zoom(1.3);
    else if (e.key === "-") this.zoom(1 / 1.3);
    else if (e.key === "0") this.fit();
    else if (e.key in steps) this.step(e.key === "ArrowLeft" || e.key === "ArrowRight" ? !this.turned : this.turned, steps[e.key]);
    else if ((e.key === "Enter" || e.key === " ") && this.cursor >= 0) this.clicked(this.cursor);
    else return;
    e.preventDefault();
  }

  /** Go to a box of the next layer (along) or of the same one. */
  step(along, by) {
    const { boxes, links } = this.store.picture;
    if (!boxes.length) return;
    if (this.cursor < 0 || this.cursor >= boxes.length) this.cursor = 0;
    else {
      const here = boxes[this.cursor];
      let found = [];
      if (along) {
        found = links
          .filter((each) => (by > 0 ? each.source : each.target) === this.cursor)
          .map((each) => (by > 0 ? each.target : each.source));
      } else {
        found = boxes.map((_, i) => i).filter((i) => boxes[i].layer === here.layer && (boxes[i].across - here.across) * by > 0);
      }
      const far = (i) => Math.abs(boxes[i].across - here.across) + Math.abs(boxes[i].layer - here.layer);
      found.sort((a, b) => far(a) - far(b));
      if (found.length) this.cursor = found[0];
    }
    this.show(this.cursor);
    this.shell.announce(this.describe(this.cursor), true);
    this.shell.draw();
  }

  describe(box) {
    const { store } = this;
    const { members, label, key } = store.picture.boxes[box];
    if (members.length > 1) return `${label} nodes: ${countsText(store, members)}. Click to open`;
    const i = members[0];
    const note = store.diagnosis.activities[i] || "";
    return `${store.structure.names[i]}: ${store.look(i).word}${note ? `, ${note}` : ""}`;
  }

  clicked(box) {
    this.canvas.focus({ preventScroll: true });
    if (box < 0) return;
    this.cursor = box;
    const { members, key } = this.store.picture.boxes[box];
    if (members.length > 1) this.store.post({ t: "open", key });
    else this.store.choose(members[0]);
    this.shell.draw();
  }

  reload() {
    const { picture } = this.store;
    this.box = new Map();
    picture.boxes.forEach((box, i) => box.members.length === 1 && this.box.set(box.members[0], i));
    this.closer.hidden = !picture.boxes.some((box) => box.opened);
    if (this.cursor >= picture.boxes.length) this.cursor = -1;
    this.fitted = true;
    this.turned = null;
  }

  /** Choose the direction in which the picture is larger. */
  place(width, height) {
    const { picture } = this.store;
    const sizes = [false, true].map((down) => {
      const along = (picture.layers - 1) * (down ? BOX.height + 34 : BOX.width + 46) + (down ? BOX.height : BOX.width);
      const across = picture.extent * (down ? BOX.width + 12 : BOX.height + 4);
      return down ? [across, along] : [along, across];
    });
    const scale = sizes.map(([w, v]) => Math.min((width - 24) / w, (height - 24) / v, 1.15));
    // Reading goes to the right, unless that is much smaller.
    this.turned = scale[1] > scale[0] * 1.1;
    this.extent = sizes[this.turned ? 1 : 0];
    this.pitch = this.turned ? BOX.height + 34 : BOX.width + 46;
    this.unit = this.turned ? BOX.width + 12 : BOX.height + 4;
    this.centres = picture.boxes.map((box) => this.point(box.layer, box.across));
  }

  point(layer, across) {
    const along = layer * this.pitch + (this.turned ? BOX.height : BOX.width) / 2;
    return this.turned ? [across * this.unit, along] : [along, across * this.unit];
  }

  fit() {
    this.fitted = true;
    this.shell.draw();
  }

  applyFit(width, height) {
    const [w, v] = this.extent;
    const k = Math.min((width - 24) / w, (height - 24) / v, 1.15);
    this.view = { k, x: (width - w * k) / 2, y: (height - v * k) / 2 };
  }

  zoom(by, x = this.canvas.clientWidth / 2, y = this.canvas.clientHeight / 2) {
    const k = Math.min(3, Math.max(0.02, this.view.k * by));
    const ratio = k / this.view.k;
    this.view = { k, x: x - (x - this.view.x) * ratio, y: y - (y - this.view.y) * ratio };
    this.fitted = false;
    this.shell.draw();
  }

  /** Bring a box into view. */
  show(box) {
    if (!this.centres || box < 0) return;
    const [w, v] = [this.canvas.clientWidth, this.canvas.clientHeight];
    const { k } = this.view;
    const [x, y] = [this.centres[box][0] * k + this.view.x, this.centres[box][1] * k + this.view.y];
    const margin = [BOX.width * k * 0.6, BOX.height * k * 0.8];
    if (x < margin[0] || x > w - margin[0]) this.view.x += w / 2 - x;
    if (y < margin[1] || y > v - margin[1]) this.view.y += v / 2 - y;
  }

  at(e) {
    if (!this.centres) return -1;
    const rect = this.canvas.getBoundingClientRect();
    const x = (e.clientX - rect.left - this.view.x) / this.view.k;
    const y = (e.clientY - rect.top - this.view.y) / this.view.k;
    return this.centres.findIndex(
      ([cx, cy]) => Math.abs(x - cx) <= BOX.width / 2 && Math.abs(y - cy) <= BOX.height / 2,
    );
  }

  draw(palette) {
    const size = sized(this.canvas);
    if (!size || !this.store.picture.boxes.length) return;
    const [width, height, c] = size;
    if (this.turned === null || (this.fitted && this.last !== `${width} ${height}`)) this.place(width, height);
    this.last = `${width} ${height}`;
    if (this.fitted) this.applyFit(width, height);
    const { k, x, y } = this.view;
    c.save();
    c.translate(x, y);
    c.scale(k, k);
    const seen = [-x / k - BOX.width, -y / k - BOX.height, (width - x) / k + BOX.width, (height - y) / k + BOX.height];
    this.edges(c, palette);
    this.centres.forEach(([cx, cy], i) => {
      if (cx > seen[0] && cx < seen[2] && cy > seen[1] && cy < seen[3]) this.drawBox(c, palette, i, cx, cy, k);
    });
    c.restore();
  }

  edges(c, palette) {
    const { links, boxes } = this.store.picture;
    // What follows directly on the path, box by box.
    const { critical } = this.store.diagnosis;
    const boxOf = new Map();
    boxes.forEach((box, i) => box.members.forEach((each) => boxOf.set(each, i)));
    const hot = new Set(critical.slice(1).map((each, i) => `${boxOf.get(critical[i])} ${boxOf.get(each)}`));
    for (const pass of [0, 1, 2]) {
      c.beginPath();
      for (const each of links) {
        const on = hot.has(`${each.source} ${each.target}`);
        if ((on ? 2 : each.data ? 0 : 1) === pass) this.curve(c, each, boxes);
      }
      c.setLineDash(pass === 1 ? [5, 4] : []);
      c.strokeStyle = css(pass === 2 ? palette.soft : palette.edge);
      c.lineWidth = pass === 2 ? 2.5 : 1.2;
      c.globalAlpha = links.length > 600 && pass !== 2 ? 0.5 : 1;
      c.stroke();
    }
    c.globalAlpha = 1;
    c.setLineDash([]);
  }

  curve(c, each, boxes) {
    const half = (this.turned ? BOX.height : BOX.width) / 2;
    const [source, target] = [this.centres[each.source], this.centres[each.target]];
    const along = this.turned ? 1 : 0;
    const shifted = (point, by) => point.map((value, axis) => (axis === along ? value + by : value));
    const stations = [shifted(source, half)];
    each.bends.forEach((across, i) => {
      const middle = this.point(boxes[each.source].layer + 1 + i, across);
      stations.push(shifted(middle, -half), shifted(middle, half));
    });
    stations.push(shifted(target, -half));
    c.moveTo(...stations[0]);
    for (let i = 1; i < stations.length; i += 1) {
      const [a, b] = [stations[i - 1], stations[i]];
      const middle = (b[along] - a[along]) / 2;
      c.bezierCurveTo(...shifted(a, middle), ...shifted(b, -middle), ...b);
    }
  }

  drawBox(c, palette, i, cx, cy, k) {
    const { store } = this;
    const box = store.picture.boxes[i];
    const [x, y] = [cx - BOX.width / 2, cy - BOX.height / 2];
    const one = box.members.length === 1;
    const node = box.members[0];
    const state = one ? store.state[node] : dominant(store, box.members);
    const look = store.structure.looks[state];
    const fill = palette.fills[state];
    const chosen = one && store.choice.index === node;
    const focused = this.cursor === i && document.activeElement === this.canvas;
    c.beginPath();
    c.roundRect(x, y, BOX.width, BOX.height, 7);
    c.fillStyle = css(look.hollow ? palette.ground : mix(palette.ground, fill, 0.16));
    c.fill();
    c.strokeStyle = css(chosen || focused ? palette.ink : fill);
    c.lineWidth = chosen ? 3 : focused ? 2.5 : look.hollow ? 1.1 : 1.8;
    c.stroke();
    if (one && store.found.get(node)?.severity === "stuck") this.badge(c, palette, x + BOX.width - 1, y + 1);
    if (one) this.progress(c, fill, node, x, y);
    else this.shares(c, palette, box.members, x, y);
    if (k > 0.3) this.words(c, palette, box, state, x, y, k);
  }

  /** A node that does not get on by itself is marked, whatever its state. */
  badge(c, palette, x, y) {
    c.beginPath();
    c.arc(x, y, 8, 0, 2 * Math.PI);
    c.fillStyle = css(palette.fills[this.shell.stateNamed("backing_off")]);
    c.fill();
    c.font = `bold 12px ${palette.font}`;
    c.textAlign = "center";
    c.textBaseline = "middle";
    c.fillStyle = "#111";
    c.fillText("!", x, y + 0.5);
  }

  words(c, palette, box, state, x, y, k) {
    const { store } = this;
    const one = box.members.length === 1;
    const node = box.members[0];
    const look = store.structure.looks[state];
    const glyphRoom = one ? 22 : 10;
    c.textBaseline = "middle";
    c.textAlign = "left";
    if (one) {
      c.font = `bold 13px ${palette.font}`;
      c.fillStyle = css(palette.texts[state]);
      c.fillText(look.glyph, x + 9, y + 14);
    }
    c.font = `600 12.5px ${palette.font}`;
    c.fillStyle = css(palette.ink);
    const name = one ? store.structure.names[node] : box.label;
    c.fillText(cut(c, name, BOX.width - glyphRoom - 10), x + glyphRoom + 4, y + 14);
    if (k < 0.45) return;
    c.font = `11px ${palette.font}`;
    c.fillStyle = css(palette.soft);
    const about = one ? this.about(node, look) : countsText(store, box.members);
    c.fillText(cut(c, about, BOX.width - 20), x + glyphRoom + 4, y + 28);
  }

  about(i, look) {
    const { store } = this;
    const parts = [look.word];
    if (look.name === "running" && store.total[i]) parts[0] = `${store.done[i]}/${store.total[i]} cells`;
    const elapsed = store.elapsed(i);
    if (Number.isFinite(elapsed)) parts.push(duration(elapsed));
    if (look.name === "running" && store.cpu[i]) parts.push(`${store.cpu[i]}%`);
    if (store.flags[i] & 1) parts[0] = "cached";
    return parts.join(" · ");
  }

  progress(c, fill, i, x, y) {
    const { store } = this;
    if (store.look(i).name !== "running" || !store.total[i]) return;
    c.fillStyle = css(fill);
    c.beginPath();
    c.roundRect(x + 6, y + BOX.height - 4.5, Math.max(2, ((BOX.width - 12) * store.done[i]) / store.total[i]), 2.5, 1);
    c.fill();
  }

  shares(c, palette, members, x, y) {
    const counts = countStates(this.store, members);
    let from = x + 6;
    counts.forEach((n, state) => {
      const width = ((BOX.width - 12) * n) / members.length;
      c.fillStyle = css(palette.fills[state]);
      c.globalAlpha = this.store.structure.looks[state].hollow ? 0.35 : 1;
      if (n) c.fillRect(from, y + BOX.height - 5.5, width, 3.5);
      from += width;
    });
    c.globalAlpha = 1;
  }
}

/** Fit a canvas to its place; null where there is none (a hidden tab). */
function sized(canvas) {
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  if (width < 20 || height < 20) return null;
  const ratio = window.devicePixelRatio || 1;
  const [w, v] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== w || canvas.height !== v) {
    canvas.width = w;
    canvas.height = v;
  }
  const c = canvas.getContext("2d");
  c.setTransform(ratio, 0, 0, ratio, 0, 0);
  c.clearRect(0, 0, width, height);
  return [width, height, c];
}

function cut(c, text, width) {
  if (c.measureText(text).width <= width) return text;
  let end = Math.max(1, Math.floor((text.length * width) / c.measureText(text).width));
  while (end > 1 && c.measureText(`${text.slice(0, end)}…`).width > width) end -= 1;
  return `${text.slice(0, end)}…`;
}

function countStates(store, members) {
  const counts = store.structure.looks.map(() => 0);
  for (const i of members) counts[store.state[i]] += 1;
  return counts;
}

function countsText(store, members) {
  return countStates(store, members)
    .map((n, state) => (n ? `${store.structure.looks[state].glyph} ${n}` : ""))
    .filter(Boolean)
    .join("  ");
}

/** The state that a group is drawn in: what went wrong, then what goes on, then what most are in. */
function dominant(store, members) {
  const counts = countStates(store, members);
  const { looks } = store.structure;
  for (const name of ["failed", "in_doubt", "backing_off", "running", "queued"]) {
    const state = looks.findIndex((look) => look.name === name);
    if (counts[state]) return state;
  }
  return counts.indexOf(Math.max(...counts));
}

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

// --- views of a model --------------------------------------------------------------------------

/** The part of the run's resources: what all nodes use together, and who uses most. */
class ResourcesView {
  constructor(shell) {
    this.store = shell.store;
    this.shell = shell;
    this.sparks = h("div", { class: "nbf-sparks" });
    this.users = h("div", { class: "nbf-users" });
    this.el = h("section", { class: "nbf-resources", "aria-label": "Resources of the run" }, this.sparks, this.users);
  }

  draw() {
    const now = performance.now();
    if (now - (this.drawn || -1e9) < 900) return;
    this.drawn = now;
    const { store } = this;
    const { history } = store;
    const { resources } = store.diagnosis;
    const extra = [
      ["IO wait", resources.io_wait_percent, (n) => `${Math.round(n)}%`],
      ["disk read", resources.read_bytes_per_s, (n) => `${bytes(n)}/s`],
      ["disk write", resources.written_bytes_per_s, (n) => `${bytes(n)}/s`],
      ["network", resources.network_bytes_per_s, (n) => `${bytes(n)}/s`],
      ["GPU", resources.gpu_percent, (n) => `${Math.round(n)}%`],
    ];
    fill(
      this.sparks,
      spark("CPU", history.map((each) => [each.at, each.cpu]), (n) => `${Math.round(n)}%`),
      spark("memory", history.map((each) => [each.at, each.memory]), bytes),
      h("dl", { class: "nbf-facts" }, extra.filter(([, value]) => value !== null && value !== undefined).map(([label, value, words]) => [h("dt", { text: label }), h("dd", { text: words(value) })])),
    );
    const running = [...Array(store.n).keys()].filter((i) => store.look(i).name === "running");
    running.sort((a, b) => store.cpu[b] - store.cpu[a] || a - b);
    const rows = running.slice(0, 12).map((i) => [store.structure.names[i], `${store.cpu[i]}%`, bytes((store.memory[i] || 0) * 1048576), duration(store.elapsed(i)), store.workerName(i)]);
    fill(this.users, rows.length ? table(["node", "CPU", "memory", "time", "worker"], rows) : h("div", { class: "nbf-soft", text: "No node runs." }));
  }
}

/** One view: its parts, its size and theme, and when it draws. */
class Shell {
  constructor(store, model, el) {
    this.store = store;
    this.root = el;
    el.store_ = store; // for tests and the curious
    this.piece = model.get("piece") || "panel";
    el.classList.add("nbf", `nbf-is-${this.piece}`);
    el.setAttribute("role", "region");
    el.setAttribute("aria-label", `Run of ${store.structure.flow}`);
    // j, k and f are JupyterLab's, too, unless an element keeps its keys to itself.
    el.setAttribute("data-lm-suppress-shortcuts", "true");
    this.live = h("div", { class: "nbf-live", role: "status", "aria-live": "polite" });
    this.footer = h("div", { class: "nbf-foot nbf-soft" });
    this.goneText = h("code", { text: `nbflow.attach("${store.structure.run}").panel()` });
    this.banner = h("div", { class: "nbf-gone", role: "alert", hidden: true });
    this.parts = [];
    this.build();
    put(el, [this.banner, this.parts.map((part) => part.el), this.main, this.footer, this.live]);
    store.views.add(this);
    this.watch();
    this.theme();
    this.strip?.reload();
    this.changed("choice");
  }

  build() {
    if (this.piece === "stuck") {
      this.strip = new StripView(this, true);
      this.parts = [this.strip];
      return;
    }
    if (this.piece === "resources") {
      this.resources = new ResourcesView(this);
      this.parts = [this.resources];
      return;
    }
    this.header = new HeaderView(this, this.piece === "panel");
    this.parts = [this.header];
    if (this.piece === "progress") return;
    this.strip = new StripView(this, false);
    this.parts.push(this.strip);
    this.graph = new GraphView(this);
    this.timeline = new TimelineView(this);
    this.table = new TableView(this);
    this.node = new NodeView(this);
    this.buildMain();
  }

  buildMain() {
    const views = [
      ["graph", "Graph", this.graph],
      ["timeline", "Timeline", this.timeline],
      ["table", "Table", this.table],
    ];
    const id = `nbf-${Math.random().toString(36).slice(2)}`;
    this.views = views;
    this.tabs = views.map(([key, label], at) =>
      h("button", {
        type: "button",
        role: "tab",
        id: `${id}-${key}-tab`,
        "aria-controls": `${id}-${key}`,
        onclick: () => this.turn(key),
        onkeydown: (e) => {
          const by = { ArrowRight: 1, ArrowLeft: -1 }[e.key];
          if (!by) return;
          const to = (at + by + views.length) % views.length;
          this.turn(views[to][0]);
          this.tabs[to].focus();
          e.preventDefault();
        },
        text: label,
      }),
    );
    for (const [key, , view] of views) {
      view.el.id = `${id}-${key}`;
      view.el.setAttribute("role", "tabpanel");
      view.el.setAttribute("aria-labelledby", `${id}-${key}-tab`);
    }
    this.left = h("div", { class: "nbf-left" }, h("div", { class: "nbf-tabs", role: "tablist", "aria-label": "Views of the run" }, this.tabs), views.map(([, , view]) => view.el));
    this.main = h("div", { class: "nbf-main" }, this.left, this.node.el);
    this.main.style.height = this.grown = this.store.left.height;
    this.turn(this.store.left.view);
  }

  leave() {
    const { table, timeline, graph } = this;
    this.store.left = {
      view: this.view,
      height: this.main.style.height,
      table: { sort: table.sort, states: table.states, text: table.text },
      timeline: { byWorker: timeline.byWorker, zoomed: timeline.zoomed },
      graph: { view: graph.view, fitted: graph.fitted },
    };
  }

  /** As high as the picture needs, and a chosen node; a person may drag it to any other height. */
  grow() {
    const { picture } = this.store;
    const across = (picture.extent + 0.5) * (BOX.height + 4) + 70;
    const least = this.store.choice.index >= 0 ? 360 : 230;
    const height = `${Math.round(Math.min(400, Math.max(least, across)))}px`;
    if (this.main.style.height === (this.grown || "")) this.main.style.height = height;
    this.grown = this.main.style.height === height ? height : this.grown;
  }

  turn(key) {
    this.view = key;
    this.views.forEach(([each, , view], at) => {
      view.el.hidden = each !== key;
      this.tabs[at].setAttribute("aria-selected", each === key ? "true" : "false");
      this.tabs[at].tabIndex = each === key ? 0 : -1;
    });
    this.store.left.view = key;
    this.draw();
  }

  only(state) {
    if (!this.table) return;
    this.table.only(state);
    this.header.chipKey = "";
    if (this.table.states.size) this.turn("table");
  }

  watch() {
    this.sizes = new ResizeObserver(() => {
      this.root.classList.toggle("nbf-narrow", this.root.clientWidth < 760);
      this.theme();
      this.draw();
    });
    this.sizes.observe(this.root);
    if (this.main) this.sizes.observe(this.main);
    // Front ends change their theme by attributes of the page's body.
    this.themes = new MutationObserver(() => this.theme());
    const watched = { attributes: true, attributeFilter: ["class", "style", "data-jp-theme-light", "data-jp-theme-name", "data-vscode-theme-kind"] };
    this.themes.observe(document.body, watched);
    this.themes.observe(document.documentElement, watched);
    this.still = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.timer = setInterval(() => this.tick(), 1000);
  }

  /** Move the clocks, and notice a kernel that has fallen silent. */
  tick() {
    const { store } = this;
    const silent = (performance.now() - store.heardAt) / 1000;
    if (!store.summary.final && store.summary.driven && silent > SILENT_S && !store.gone) {
      if (!store.pinged) {
        store.pinged = performance.now();
        store.post({ t: "all" });
      } else if (performance.now() - store.pinged > 6000) store.disconnect();
    } else if (silent < SILENT_S) store.pinged = 0;
    if (store.summary.going && !store.gone) this.draw();
    this.announceState();
  }

  theme() {
    if (!this.root.isConnected) return;
    this.palette = new Palette(this.root, this.store.structure.looks);
    this.draw();
  }

  stateNamed(name) {
    return this.store.structure.looks.findIndex((look) => look.name === name);
  }

  stateLike(look) {
    return Math.max(0, this.store.structure.looks.findIndex((each) => each.colour === look.colour && !each.hollow));
  }

  changed(what) {
    const { store } = this;
    if (what === "all" || what === "picture") this.graph?.reload();
    if (what === "all") this.palette = null;
    if (what === "all" && this.table) this.table.stale = true;
    if (what === "all" || what === "diagnosis") this.strip?.reload();
    if (what === "choice" && this.table) {
      this.table.follow(store.choice.index);
      const box = this.graph.box.get(store.choice.index);
      if (box !== undefined) {
        this.graph.cursor = box;
        if (!this.graph.fitted) this.graph.show(box);
      }
    }
    const overview = what === "diagnosis" && store.choice.tab === "overview";
    if (overview || ["all", "choice", "detail"].includes(what)) this.node?.refresh();
    if (this.main && !this.root.classList.contains("nbf-narrow")) this.grow();
    else if (this.main && this.main.style.height === this.grown) this.main.style.height = "";
    this.draw();
  }

  draw() {
    if (!this.raf) this.raf = requestAnimationFrame(() => this.frame());
  }

  frame() {
    this.raf = 0;
    if (!this.root.isConnected || !this.root.clientWidth) return;
    if (!this.palette) this.palette = new Palette(this.root, this.store.structure.looks);
    const { store } = this;
    this.root.classList.toggle("nbf-off", store.gone);
    if (store.gone !== this.wasGone) {
      this.wasGone = store.gone;
      this.banner.hidden = !store.gone;
      fill(this.banner, store.gone ? ["disconnected: ", this.goneText] : []);
    }
    this.header?.draw();
    this.resources?.draw();
    if (this.graph && this.view === "graph") this.graph.draw(this.palette);
    if (this.timeline && this.view === "timeline") this.timeline.draw(this.palette);
    if (this.table && this.view === "table") this.table.draw();
    if (this.table && this.table.stale && this.view !== "table") this.table.arrange();
    this.node?.draw();
    // Not at its end: the next view may be made before this one goes.
    if (this.main) this.leave();
    this.root.dataset.seq = store.seq;
    if (store.n && !this.root.dataset.ready) {
      this.root.dataset.ready = "true";
      this.root.dataset.firstPaint = performance.now();
    }
  }

  foot(text, bad) {
    say(this.footer, text);
    this.footer.classList.toggle("nbf-problem", Boolean(bad));
    this.announce(text, true);
  }

  /** Say something to readers of screens; what nobody has asked for at most every few seconds. */
  announce(text, now) {
    const at = performance.now();
    if (!now && at - (this.saidAt || -1e9) < LIVE_REGION_S * 1000) return;
    this.saidAt = at;
    say(this.live, text);
  }

  announceState() {
    const { summary, structure, n } = this.store;
    const look = structure.run_looks[summary.status];
    const failed = summary.counts[this.stateNamed("failed")] || 0;
    const text = `${structure.flow} ${look ? look.word : summary.status}, ${summary.finished ?? 0} of ${count(n, "node")} done${failed ? `, ${failed} failed` : ""}`;
    if (text !== this.stated && performance.now() - (this.saidAt || -1e9) >= LIVE_REGION_S * 1000) {
      this.stated = text;
      this.announce(text);
    }
  }

  dispose() {
    this.store.views.delete(this);
    this.sizes.disconnect();
    this.themes.disconnect();
    clearInterval(this.timer);
    if (this.raf) cancelAnimationFrame(this.raf);
  }
}

export default () => {
  // `initialize` and `render` are given different faces of the model; this is what they share.
  const store = new Store();
  return {
    initialize({ model }) {
      store.attach(model);
      return () => store.views.clear();
    },
    render({ model, el }) {
      const shell = new Shell(store, model, el);
      return () => shell.dispose();
    },
  };
};
