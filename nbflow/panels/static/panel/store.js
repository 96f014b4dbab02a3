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
