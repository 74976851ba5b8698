/** The probability timeline: one lane a label, as high as the label is probable. */

import { make, said, setText } from "./dom.js";
import { colour, hueClass, nameOf, shape } from "./emotions.js";
import { clock, percent } from "./text.js";

/** Most columns drawn. */
const COLUMNS = 160;
const LANE_FILL = 0.86;
const YOUNG = [30, 60, 120, 300, 600];
const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400];
const CONFIG = { staticPlot: true, displayModeBar: false, responsive: false };

export class Chart {
  /**
   * @param {HTMLElement} place where to draw
   * @param {HTMLElement} lanes where the lanes' names stand
   * @param {HTMLElement} readout where what is under the pointer is told
   * @param {(id: string) => void} onPick called with the utterance that somebody picks
   */
  constructor(place, lanes, readout, onPick) {
    this.place = place;
    this.lanes = lanes;
    this.readout = readout;
    this.onPick = onPick;
    this.plot = make("div", "plot");
    this.cursor = make("div", "cursor");
    this.cursor.hidden = true;
    place.append(this.plot, this.cursor);
    /** Seconds shown; Infinity for all. */
    this.span = 120;
    this.columns = [];
    this.from = 0;
    this.to = this.span;
    this.at = -1;
    place.addEventListener("pointermove", (event) => this.#point(event));
    place.addEventListener("pointerleave", () => this.#read(-1));
    place.addEventListener("click", () => this.#pickHere());
    place.addEventListener("keydown", (event) => this.#key(event));
  }

  /**
   * @param {import("./timeline.js").Timeline} timeline
   * @param {import("./board.js").Board} board
   */
  draw(timeline, board) {
    this.board = board;
    const labels = timeline.labels.length ? timeline.labels : board.labels;
    // A young session fills its stretch of time in steps, not in a corner of it.
    const young = YOUNG.find((seconds) => seconds >= board.t) ?? board.t;
    this.to = Math.max(board.t, Math.min(this.span, young));
    this.from = Math.max(0, this.to - this.span);
    this.columns = timeline.since(this.from, COLUMNS);
    this.#layLanes(labels);
    this.#draw(labels, [...board.open].filter((one) => one.probabilities.size > 0));
    this.place.setAttribute("aria-valuemax", String(Math.max(0, this.columns.length - 1)));
    if (this.at >= this.columns.length) this.#read(-1);
  }

  #layLanes(labels) {
    const totals = labels.map((_, n) => weighed(this.columns, n));
    if (this.lanes.childElementCount !== labels.length) {
      this.lanes.replaceChildren(...labels.map((label) => make(
        "li", hueClass(label), shape(label), said("span", "name", nameOf(label)),
        make("span", "value"), make("span", "bar"),
      )));
    }
    [...this.lanes.children].forEach((lane, n) => {
      setText(lane.querySelector(".value"), this.columns.length ? percent(totals[n]) : "");
      lane.querySelector(".bar").style.width = `${totals[n] * 100}%`;
    });
  }

  #draw(labels, open) {
    const charts = globalThis.Plotly;
    const { clientWidth: width, clientHeight: height } = this.place;
    if (charts === undefined || width === 0 || labels.length === 0) return;
    const traces = labels.map((label, n) => lane(this.columns, n, labels, colour(label)));
    if (open.length) traces.push(outlines(open, labels, colourOf("--ink-2")));
    this.place.style.setProperty("--lanes", String(labels.length));
    const ticks = this.#ticks(width);
    charts.react(this.plot, traces, {
      width, height, showlegend: false,
      margin: { l: 0, r: 0, t: 2, b: 22, pad: 0 },
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: "system-ui, sans-serif", size: 12, color: colourOf("--ink-3") },
      xaxis: {
        range: [this.from, this.to], tickvals: ticks, ticktext: ticks.map(clock), zeroline: false,
        gridcolor: colourOf("--line-faint"), fixedrange: true,
      },
      yaxis: { range: [0, labels.length], visible: false, fixedrange: true },
    }, CONFIG);
  }

  #ticks(width) {
    const step = STEPS.find((s) => ((this.to - this.from) / s) * 70 < width) ?? STEPS.at(-1);
    const ticks = [];
    for (let t = Math.ceil(this.from / step) * step; t <= this.to; t += step) ticks.push(t);
    // One too near an edge would be cut in two.
    const edge = (18 / width) * (this.to - this.from);
    return ticks.filter((t) => t - this.from >= edge && this.to - t >= edge);
  }

  #point(event) {
    const { left, width } = this.place.getBoundingClientRect();
    const t = this.from + ((event.clientX - left) / width) * (this.to - this.from);
    this.#read(this.columns.findLastIndex((column) => column.start <= t && t <= column.end));
  }

  #key(event) {
    const last = this.columns.length - 1;
    const here = this.at < 0 ? last + 1 : this.at;
    const to = { ArrowLeft: here - 1, ArrowRight: here + 1, Home: 0, End: last }[event.key];
    if (to !== undefined && last >= 0) {
      event.preventDefault();
      this.#read(Math.min(last, Math.max(0, to)));
    } else if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      this.#pickHere();
    } else if (event.key === "Escape") this.#read(-1);
  }

  #pickHere() {
    const column = this.columns[this.at];
    if (column?.id) this.onPick(column.id);
  }

  /** Tell of one column; -1 for none. */
  #read(at) {
    this.at = at;
    const column = this.columns[at];
    this.cursor.hidden = column === undefined;
    const told = column === undefined ? "" : this.#tell(column);
    setText(this.readout, told || "Point at the timeline, or use the arrow keys, to read it.");
    this.readout.classList.toggle("hint", !told);
    this.place.setAttribute("aria-valuenow", String(Math.max(0, at)));
    this.place.setAttribute("aria-valuetext", told || "nothing chosen");
    if (column === undefined) return;
    const middle = (column.start + column.end) / 2;
    const x = ((middle - this.from) / (this.to - this.from)) * this.place.clientWidth;
    this.cursor.style.transform = `translateX(${Math.max(0, x)}px)`;
  }

  #tell(column) {
    const labels = [...this.lanes.children].map((lane) => lane.querySelector(".name").textContent);
    const best = column.shares
      .map((p, n) => ({ p, label: labels[n] }))
      .sort((a, b) => b.p - a.p)
      .slice(0, 3)
      .map(({ p, label }) => `${label} ${percent(p)}`)
      .join(", ");
    const when = `${clock(column.start)} to ${clock(column.end)}`;
    const one = this.board.utterances.get(column.id);
    if (one === undefined) return `${when} · ${column.utterances} utterances: ${best}`;
    return `${when} · ${one.speaker}: ${best}${one.reading?.abstained ? " (unsure)" : ""}`;
  }
}

/**
 * A label's lane: a block for each column, from the lane's ground up. All are one polygon that runs
 * along the ground between them, which plotly draws five times as fast as one for each.
 */
function lane(columns, n, labels, fillcolor) {
  const base = labels.length - 1 - n;
  const x = [];
  const y = [];
  for (const { start, end, shares } of columns) {
    const top = base + LANE_FILL * shares[n];
    x.push(start, start, end, end);
    y.push(base, top, top, base);
  }
  return { x, y, type: "scatter", mode: "none", fill: "toself", fillcolor, hoverinfo: "skip" };
}

/** What is provisional, in all lanes, as outlines only. */
function outlines(open, labels, color) {
  const x = [];
  const y = [];
  for (const one of open) {
    labels.forEach((label, n) => {
      const base = labels.length - 1 - n;
      const top = base + LANE_FILL * (one.probabilities.get(label) ?? 0);
      const end = Math.max(one.end, one.start + 0.5);
      x.push(one.start, one.start, end, end, null);
      y.push(base, top, top, base, null);
    });
  }
  const line = { color, width: 1.5, dash: "dot" };
  return { x, y, type: "scatter", mode: "lines", line, hoverinfo: "skip" };
}

function weighed(columns, n) {
  const seconds = columns.reduce((sum, column) => sum + column.seconds, 0);
  if (seconds === 0) return 0;
  return columns.reduce((sum, column) => sum + column.shares[n] * column.seconds, 0) / seconds;
}

function colourOf(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}
