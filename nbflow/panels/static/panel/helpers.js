// The panel of a run, for anywidget: one module without dependencies, and nothing that only one front
// end has. Its parts are the files of this folder, which nbflow/panels/widget.py joins: so there is no
// build step, and they neither import nor export. This is the first of them.
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
