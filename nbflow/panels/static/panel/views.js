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
