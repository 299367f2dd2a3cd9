"use strict";
// The curves of a report. Data come from the page's own JSON; text goes in as text, never as markup.
const data = JSON.parse(document.getElementById("data").textContent);
const SVG = "http://www.w3.org/2000/svg";
const HEIGHT = 190, LEFT = 52, RIGHT = 12, TOP = 12, BOTTOM = 24;
const view = { from: data.first, to: data.last, calm: false, cursor: null, moment: null, hidden: new Set() };
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

function add(parent, name, attributes = {}, text = null) {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== null) node.textContent = text;
  parent.appendChild(node);
  return node;
}

function addText(parent, name, className, text) {
  const node = document.createElement(name);
  if (className) node.className = className;
  node.textContent = text;
  parent.appendChild(node);
  return node;
}

function words(value, digits = 4) {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e7)) return value.toExponential(Math.max(digits - 2, 0)).replace(/\.?0*e\+?/, "e");
  return String(Number(value.toPrecision(digits)));
}

function steps(low, high, count) { // round numbers from low to high: 1, 2 or 5 times a power of ten apart
  const rough = (high - low) / count, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough * 0.999);
  const found = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++) found.push(i * step);
  return found;
}

function logSteps(low, high) {
  const found = [], first = Math.floor(Math.log10(low)), last = Math.ceil(Math.log10(high));
  const every = Math.max(1, Math.ceil((last - first) / 5));
  for (let power = first; power <= last; power += every) {
    for (const n of last - first <= 1 ? [1, 2, 5] : [1]) found.push(n * 10 ** power);
  }
  return found.filter((value) => value >= low * 0.999 && value <= high * 1.001);
}

function nearest(x, kimg) { // place of the value nearest to kimg in a rising list
  let low = 0, high = x.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (x[middle] < kimg) low = middle; else high = middle;
  }
  return Math.abs(x[low] - kimg) <= Math.abs(x[high] - kimg) ? low : high;
}

class Plot {
  constructor(figure, spec) {
    Object.assign(this, { figure, spec, canvas: figure.querySelector(".canvas"), note: figure.querySelector(".note") });
    const colour = (curve, i) => (data.runs.length > 1 ? curve.run : i) % 8;
    this.curves = spec.curves.map((curve, i) => ({ ...curve, x: data.x[curve.x], colour: colour(curve, i) }));
    const values = figure.querySelector(".values");
    for (const curve of this.curves) {
      curve.entry = addText(values, "span", "value", "");
      addText(curve.entry, "i", `c${curve.colour}`, "");
      if (data.runs.length === 1) addText(curve.entry, "span", "", curve.label + " ");
      curve.number = addText(curve.entry, "b", "", "");
    }
    this.listen();
  }

  listen() {
    const at = (event) => this.kimgAt(event.clientX - this.canvas.getBoundingClientRect().left);
    this.canvas.addEventListener("pointermove", (event) => { setCursor(at(event)); this.stretch(at(event)); });
    this.canvas.addEventListener("pointerdown", (event) => {
      [this.start, this.startX] = [at(event), event.clientX];
      setCursor(this.start);
    });
    this.canvas.addEventListener("pointerleave", () => { setCursor(null); this.start = null; this.stretch(null); });
    this.canvas.addEventListener("pointerup", (event) => {
      const start = this.start, end = at(event);
      this.start = null;
      this.stretch(null);
      if (start === null || start === undefined) return;
      if (Math.abs(event.clientX - this.startX) > 8) setRange(Math.min(start, end), Math.max(start, end));
      else showMoment(end);
    });
    this.canvas.addEventListener("keydown", (event) => {
      const move = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (move === undefined) return;
      event.preventDefault();
      const now = view.cursor === null ? view.to : view.cursor;
      setCursor(clamp(now + move * (view.to - view.from) / 50, view.from, view.to));
    });
    this.canvas.addEventListener("blur", () => setCursor(null));
    this.canvas.tabIndex = 0;
  }

  kimgAt(x) { return view.from + clamp((x - LEFT) / this.width, 0, 1) * (view.to - view.from); }
  px(kimg) { return LEFT + (kimg - view.from) / (view.to - view.from) * this.width; }
  py(value) {
    const [low, high] = this.isLog ? [Math.log(this.low), Math.log(this.high)] : [this.low, this.high];
    const y = TOP + (high - (this.isLog ? Math.log(value) : value)) / (high - low) * (HEIGHT - TOP - BOTTOM);
    return clamp(y, -1e4, 1e4);
  }

  shown() { return this.curves.filter((curve) => !view.hidden.has(curve.run)); }

  fit() { // the range of values that is seen
    const seen = [];
    for (const curve of this.shown()) {
      curve.x.forEach((kimg, i) => {
        if (kimg < view.from || kimg > view.to || curve.y[i] === null) return;
        seen.push(curve.y[i]);
        if (curve.low && !view.calm && curve.low[i] !== null && curve.high[i] !== null) seen.push(curve.low[i], curve.high[i]);
      });
    }
    seen.sort((a, b) => a - b);
    const cut = view.calm ? Math.floor(seen.length / 100) : 0;
    let low = seen.length ? seen[cut] : 0, high = seen.length ? seen[seen.length - 1 - cut] : 1;
    for (const line of this.spec.lines) { low = Math.min(low, line.y); high = Math.max(high, line.y); }
    this.isLog = this.spec.log && low > 0 && high / low > 30;
    const room = this.isLog ? 0 : (high - low || Math.abs(high) || 1) * 0.06;
    this.low = this.isLog ? low / 1.2 : low - (low >= 0 && low < room ? low : room);
    this.high = this.isLog ? high * 1.2 : high + room;
  }

  draw() {
    this.width = Math.max(this.canvas.clientWidth - LEFT - RIGHT, 50);
    this.fit();
    this.canvas.replaceChildren();
    const whole = LEFT + this.width + RIGHT, bottom = HEIGHT - BOTTOM;
    const svg = add(this.canvas, "svg", { viewBox: `0 0 ${whole} ${HEIGHT}`, width: whole, height: HEIGHT, role: "img" });
    const last = this.curves.map((curve) => `${curve.label} ${words(lastOf(curve.y))}`);
    svg.setAttribute("aria-label", `${this.spec.title}: ${last.join(", ")}`);
    for (const value of this.isLog ? logSteps(this.low, this.high) : steps(this.low, this.high, 4)) {
      add(svg, "path", { class: "grid", d: `M${LEFT} ${this.py(value)}H${LEFT + this.width}` });
      add(svg, "text", { class: "y", x: LEFT - 6, y: this.py(value) + 4 }, words(value, 3));
    }
    for (const kimg of steps(view.from, view.to, this.width / 90)) {
      add(svg, "path", { class: "grid", d: `M${this.px(kimg)} ${bottom}v4` });
      add(svg, "text", { class: "x", x: this.px(kimg), y: HEIGHT - 6 }, words(kimg, 6));
    }
    const [x, y, w, h] = [LEFT - 5, TOP - 6, this.width + 10, bottom - TOP + 8]; // what is drawn outside is cut off
    const inner = add(svg, "svg", { x, y, width: w, height: h, viewBox: `${x} ${y} ${w} ${h}` });
    for (const line of this.spec.lines) {
      add(inner, "path", { class: "constant", d: `M${LEFT} ${this.py(line.y)}H${LEFT + this.width}` });
      add(inner, "text", { class: "word", x: LEFT + this.width - 2, y: this.py(line.y) - 4 }, `${line.label} ${words(line.y)}`);
    }
    for (const curve of this.shown()) this.drawCurve(inner, curve);
    this.drawMarks(svg, bottom);
    this.stretched = add(svg, "rect", { class: "stretched", y: TOP, height: bottom - TOP, width: 0 });
    this.moment = add(svg, "path", { class: "moment", d: "" });
    this.cursor = add(svg, "path", { class: "cursor", d: "" });
    this.dots = this.shown().map((curve) => [curve, add(svg, "circle", { class: `dot s${curve.colour}`, r: 3.5 })]);
    this.point();
  }

  drawCurve(svg, curve) {
    const y = (value) => this.py(this.isLog ? Math.max(value, this.low) : value).toFixed(1);
    let path = "", band = [], pen = false;
    curve.x.forEach((kimg, i) => {
      if (curve.y[i] === null) { pen = false; return; }
      const x = this.px(kimg).toFixed(1), [low, high] = curve.low ? [curve.low[i], curve.high[i]] : [null, null];
      path += `${pen ? "L" : "M"}${x} ${y(curve.y[i])}`;
      pen = true;
      if (low !== null && high !== null) {
        if (curve.dots) add(svg, "path", { class: `bar s${curve.colour}`, d: `M${x} ${y(low)}V${y(high)}` });
        else band.push([x, y(low), y(high)]);
      }
      const isBest = curve.best === i, isAlone = (curve.y[i - 1] ?? curve.y[i + 1] ?? null) === null;
      const isDot = (curve.dots && curve.x.length <= 60) || isAlone;
      if (!isBest && !isDot) return;
      add(svg, "circle", { class: `${isBest ? "best" : "dot"} s${curve.colour}`, cx: x, cy: y(curve.y[i]), r: isBest ? 6 : 2.5 });
    });
    if (band.length) {
      const there = band.map(([x, low]) => `${x} ${low}`), back = band.reverse().map(([x, , high]) => `${x} ${high}`);
      add(svg, "path", { class: `band f${curve.colour}`, d: `M${[...there, ...back].join("L")}Z` });
    }
    add(svg, "path", { class: `curve s${curve.colour}`, d: path });
  }

  drawMarks(svg, bottom) {
    for (const mark of data.marks) {
      if (mark.kimg < view.from || mark.kimg > view.to || view.hidden.has(mark.run)) continue;
      const x = this.px(mark.kimg), kind = String(mark.kind).replace(/[^a-z-]/g, "");
      const node = add(svg, "g", { class: `mark k-${kind}` });
      add(node, "path", { class: "stem", d: `M${x} ${TOP}V${bottom}` });
      add(node, "path", { class: "head", d: `M${x} ${bottom}l4 6h-8z` });
      add(node, "title", {}, `${mark.kind} at ${words(mark.kimg, 6)} kimg: ${mark.text}`);
    }
  }

  stretch(kimg) {
    if (!this.stretched) return;
    const on = kimg !== null && this.start !== null && this.start !== undefined;
    const [a, b] = on ? [this.px(Math.min(this.start, kimg)), this.px(Math.max(this.start, kimg))] : [0, 0];
    this.stretched.setAttribute("x", a);
    this.stretched.setAttribute("width", b - a);
  }

  point() { // cursor, moment of the pictures, and the values there; without a cursor the last ones
    const isSeen = (kimg) => kimg !== null && kimg >= view.from && kimg <= view.to;
    const line = (kimg) => isSeen(kimg) ? `M${this.px(kimg)} ${TOP}V${HEIGHT - BOTTOM}` : "";
    this.cursor.setAttribute("d", line(view.cursor));
    this.moment.setAttribute("d", line(view.moment));
    for (const curve of this.curves) {
      const i = view.cursor === null ? null : nearest(curve.x, view.cursor);
      const hasRange = i !== null && curve.low && curve.low[i] !== null;
      const range = hasRange ? ` (${words(curve.low[i])} to ${words(curve.high[i])})` : "";
      curve.number.textContent = (i === null ? words(lastOf(curve.y)) : words(curve.y[i])) + range;
      curve.entry.hidden = view.hidden.has(curve.run);
    }
    for (const [curve, dot] of this.dots) {
      const i = view.cursor === null ? -1 : nearest(curve.x, view.cursor), isTold = i >= 0 && curve.y[i] !== null;
      dot.setAttribute("visibility", isTold ? "visible" : "hidden");
      if (!isTold) continue;
      dot.setAttribute("cx", this.px(curve.x[i]));
      dot.setAttribute("cy", this.py(curve.y[i]));
    }
    const reach = 8 / this.width * (view.to - view.from), isNear = (mark) => Math.abs(mark.kimg - view.cursor) <= reach;
    const near = view.cursor === null ? [] : data.marks.filter((mark) => isNear(mark) && !view.hidden.has(mark.run));
    const at = view.cursor === null ? "" : `kimg ${words(view.cursor, 5)}`;
    const told = near.slice(-3).map((mark) => `${mark.kind} at ${words(mark.kimg, 6)}: ${mark.text}`);
    this.note.textContent = [at, ...told].join("  ·  ");
  }
}

function lastOf(values) {
  return values.findLast((value) => value !== null) ?? null;
}
