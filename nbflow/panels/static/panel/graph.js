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
