/** The dashboard: events come in by the link, the board keeps them, the rest draws. */

import { Board } from "./board.js";
import { Chart } from "./chart.js";
import { byId, make, setText } from "./dom.js";
import { Drawing } from "./drawing.js";
import { nameOf } from "./emotions.js";
import { Facts } from "./facts.js";
import { health } from "./health.js";
import { Link } from "./link.js";
import { Now } from "./now.js";
import { Overlay } from "./overlay.js";
import { Sessions } from "./sessions.js";
import { percent } from "./text.js";
import { themeSwitch } from "./theme.js";
import { Timeline } from "./timeline.js";
import { Transcript } from "./transcript.js";

const TEXT_MS = 100;
const CHART_MS = 1000;
const SAY_MS = 2000;
const HEALTH_MS = 5000;
const STATES = {
  connecting: "Connecting …",
  live: "Live",
  lost: "Connection lost: trying again",
  ended: "Session ended",
  waiting: "Waiting for a session",
  away: "No server: trying again",
  refused: "Not allowed in",
  unknown: "No such session",
};

let board = new Board();
let timeline = new Timeline();
let picked = "";
let lagMs = 0;
/** Whether the server lets us in; a wrong token is not shown to it again and again. */
let isRefused = false;
const isOverlay = document.documentElement.classList.contains("overlay");

const overlay = new Overlay(byId("overlay"));
const chart = new Chart(byId("chart"), byId("lanes"), byId("readout"), pick);
const transcript = new Transcript(
  byId("scroller"), byId("utterances"),
  { earlier: byId("earlier"), folded: byId("folded"), latest: byId("latest") }, pick,
);
const now = new Now({ head: byId("now-head"), bars: byId("bars"), parts: byId("parts"), foot: byId("now-foot") });
const facts = new Facts({
  title: byId("title"), notice: byId("notice"), facts: byId("facts"), notices: byId("notices"),
  recording: byId("recording"), lag: byId("lag"),
});
const drawing = new Drawing(draw, TEXT_MS);
/** Beside the frame, not in it: the chart takes longer than everything else together. */
const whenIdle = globalThis.requestIdleCallback ?? setTimeout;
const chartDrawing = new Drawing(() => whenIdle(() => chart.draw(timeline, board)), CHART_MS);
const saying = new Drawing(say, SAY_MS);
/** @type {import("./board.js").Utterance|null} */
let toSay = null;

const link = new Link({ onSession: begin, onEvent: take, onState: showState });
const sessions = new Sessions(byId("sessions"), byId("ask"), (session) => link.open(session));

function begin() {
  board = new Board();
  timeline = new Timeline();
  board.onResult = (one) => {
    timeline.take(one);
    if (one.state === "dropped") return;
    toSay = one;
    if (!isOverlay) saying.ask();
  };
  transcript.clear();
  pick("");
}

/** @param {object} event */
function take(event) {
  board.take(event);
  if (event.type === "status") lagMs = board.lagMs;
  drawing.ask();
  if (!isOverlay) chartDrawing.ask();
}

function draw() {
  const { changed } = board;
  if (isOverlay) {
    if (changed.utterances.size) overlay.draw(board);
    board.drawn();
    return;
  }
  if (changed.utterances.size) transcript.draw(board, changed.utterances);
  byId("empty").hidden = board.utterances.size > 0;
  const shown = board.utterances.get(picked) ?? board.latest;
  now.draw(shown, board.labels);
  if (changed.notices) facts.drawNotices(board);
  facts.draw(board, lagMs);
  board.drawn();
}

/** Read out final results only, and the last where they come fast. */
function say() {
  if (toSay?.reading == null) return;
  const { reading, speaker, text } = toSay;
  const sure = reading.abstained ? "unsure" : percent(reading.confidence);
  setText(byId("announcer"), `${speaker}: ${nameOf(reading.label)}, ${sure}. ${text.slice(0, 200)}`);
}

/** @param {string} id of the utterance whose details are wanted; empty for the latest */
function pick(id) {
  picked = id === picked ? "" : id;
  transcript.pick(picked);
  byId("back").hidden = !picked;
  setText(byId("now-title"), picked ? "Chosen utterance" : "Now");
  drawing.ask();
}

/** @param {import("./link.js").LinkState} state */
function showState({ name, message = "" }) {
  isRefused = name === "refused";
  const pill = byId("connection");
  pill.dataset.state = name;
  setText(pill.querySelector(".label"), STATES[name]);
  setText(byId("trouble-text"), message);
  byId("trouble").hidden = !message || name === "live";
  byId("give-token").hidden = name !== "refused" && name !== "unknown";
  drawing.ask();
}

async function lookAround() {
  if (!document.hidden && !isRefused) {
    const told = await health();
    if (told.state === "ok") sessions.draw(told.sessions);
    byId("capture").hidden = !told.takesMedia;
    if (told.lagMs !== null) lagMs = told.lagMs;
    drawing.ask();
  }
  setTimeout(lookAround, HEALTH_MS);
}

/** The charting library may be missing; the bars beside the lanes then say what there is. */
async function loadCharts() {
  try {
    await import("/dashboard/plotly.js"); // defines Plotly for all
  } catch {
    byId("no-charts").hidden = false;
  }
  chartDrawing.ask();
}

function redraw() {
  drawing.ask();
  chartDrawing.ask();
}

byId("back").addEventListener("click", () => pick(picked));
byId("give-token").addEventListener("click", () => sessions.ask(isRefused));
for (const button of byId("spans").querySelectorAll("button")) {
  button.addEventListener("click", () => {
    for (const other of byId("spans").querySelectorAll("button")) {
      other.setAttribute("aria-pressed", String(other === button));
    }
    chart.span = Number(button.dataset.seconds) || Infinity;
    redraw();
  });
}
addEventListener("keydown", (event) => {
  if (event.key === "Escape" && picked && !byId("ask").open) pick(picked);
});
new ResizeObserver(redraw).observe(byId("chart"));
themeSwitch(byId("theme"), redraw);
if (!isOverlay) {
  loadCharts();
  lookAround();
}
sessions.choose(new URLSearchParams(location.search).get("session") ?? "");
