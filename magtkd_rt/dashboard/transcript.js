/** The conversation as it was said: one row an utterance, as many rows as can be drawn at once. */

import { make, said, setText } from "./dom.js";
import { hueClass, nameOf, shape } from "./emotions.js";
import { clock, percent, words } from "./text.js";

/** Rows in the page; earlier utterances are folded away. */
export const ROWS = 120;
const MORE = 120;
const MOST = 600;

const WHY_DROPPED = new Map([
  ["no_speech", "it was no speech"],
  ["hallucination", "the words were made up by the transcriber"],
  ["too_short", "too short"],
  ["overload", "the machine was too busy"],
  ["error", "something failed"],
]);

export class Transcript {
  /**
   * @param {HTMLElement} scroller what scrolls
   * @param {HTMLElement} list an `ol`
   * @param {{earlier: HTMLElement, folded: HTMLElement, latest: HTMLElement}} parts the button for
   *   earlier ones, what says how many there are, and the button that leads back down
   * @param {(id: string) => void} onPick called with the utterance that somebody picks
   */
  constructor(scroller, list, parts, onPick) {
    this.scroller = scroller;
    this.list = list;
    this.parts = parts;
    this.onPick = onPick;
    this.picked = "";
    /** @type {Map<string, HTMLElement>} */
    this.rows = new Map();
    this.limit = ROWS;
    this.follows = true;
    scroller.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    parts.earlier.addEventListener("click", () => this.#showEarlier());
    parts.latest.addEventListener("click", () => this.toLatest());
    list.addEventListener("click", (event) => {
      const row = event.target.closest("li");
      if (row !== null && getSelection()?.isCollapsed) this.onPick(row.dataset.id);
    });
    list.addEventListener("keydown", (event) => this.#walk(event));
  }

  /**
   * @param {import("./board.js").Board} board
   * @param {Iterable<string>} changed ids of utterances
   */
  draw(board, changed) {
    this.board = board;
    const ids = [...board.utterances.keys()];
    const first = Math.max(0, ids.length - this.limit);
    const shown = new Set(ids.slice(first));
    for (const [id, row] of this.rows) {
      if (shown.has(id)) continue;
      row.remove();
      this.rows.delete(id);
    }
    for (const id of changed) {
      if (shown.has(id)) this.#update(board.utterances.get(id));
    }
    for (const id of shown) if (!this.rows.has(id)) this.#update(board.utterances.get(id));
    this.#tellFolded(first, board.counts.forgotten);
    if (this.follows) this.scroller.scrollTop = this.scroller.scrollHeight;
  }

  /** Forget all rows: another session begins. */
  clear() {
    this.rows.clear();
    this.list.replaceChildren();
    this.limit = ROWS;
    this.follows = true;
  }

  /** @param {string} id the utterance whose details are shown; empty for none */
  pick(id) {
    this.rows.get(this.picked)?.classList.remove("is-picked");
    this.rows.get(this.picked)?.querySelector("button")?.setAttribute("aria-pressed", "false");
    this.picked = id;
    this.rows.get(id)?.classList.add("is-picked");
    this.rows.get(id)?.querySelector("button")?.setAttribute("aria-pressed", "true");
  }

  toLatest() {
    this.follows = true;
    this.limit = ROWS;
    this.parts.latest.hidden = true;
    if (this.board) this.draw(this.board, []);
  }

  #update(one) {
    const row = render(one, one.id === this.picked);
    const old = this.rows.get(one.id);
    this.rows.set(one.id, row);
    if (old !== undefined) {
      const hadFocus = old.contains(document.activeElement);
      old.replaceWith(row);
      if (hadFocus) row.querySelector("button")?.focus({ preventScroll: true });
      return;
    }
    // Rows stand in the order of their beginning; only earlier ones shown again go to the top.
    let next = this.list.firstElementChild;
    if (Number(this.list.lastElementChild?.dataset.number ?? 0) < one.number) next = null;
    while (next !== null && Number(next.dataset.number) < one.number) next = next.nextElementSibling;
    this.list.insertBefore(row, next);
  }

  #tellFolded(hidden, forgotten) {
    const { earlier, folded } = this.parts;
    earlier.hidden = hidden === 0 || this.limit >= MOST;
    const parts = [];
    if (hidden) parts.push(`${hidden.toLocaleString("en")} earlier utterances are folded away`);
    if (forgotten) {
      parts.push(`${forgotten.toLocaleString("en")} before them are in the timeline only`);
    }
    setText(folded, parts.length ? `${parts.join("; ")}.` : "");
    folded.parentElement.hidden = parts.length === 0;
  }

  #showEarlier() {
    this.follows = false;
    this.limit = Math.min(MOST, this.limit + MORE);
    const below = this.scroller.scrollHeight - this.scroller.scrollTop;
    this.draw(this.board, []);
    this.scroller.scrollTop = this.scroller.scrollHeight - below;
  }

  #scrolled() {
    const { scrollHeight, scrollTop, clientHeight } = this.scroller;
    this.follows = scrollHeight - scrollTop - clientHeight < 40;
    this.parts.latest.hidden = this.follows;
  }

  /** The arrow keys go from row to row. */
  #walk(event) {
    const row = event.target.closest("li");
    const step = { ArrowUp: "previousElementSibling", ArrowDown: "nextElementSibling" }[event.key];
    if (row === null || step === undefined || row[step] === null) return;
    event.preventDefault();
    row[step].querySelector("button")?.focus();
  }
}

/** @param {import("./board.js").Utterance} one @returns {HTMLElement} its row */
function render(one, picked) {
  const label = one.reading?.label ?? "";
  const row = make("li", `utterance is-${one.state} ${hueClass(label)}`);
  row.dataset.id = one.id;
  row.dataset.number = String(one.number);
  if (picked) row.classList.add("is-picked");
  if (one.reading?.abstained) row.classList.add("is-unsure");
  const when = make("time", "when", clock(one.start));
  const who = said("span", "who", one.speaker || (one.state === "speaking" ? "…" : "–"));
  const text = said("p", "said", textOf(one));
  if (one.state === "speaking") text.append(make("span", "dots", " …"));
  row.append(make("div", "margin", who, when), make("div", "content", text, ...notes(one)), badge(one, picked));
  return row;
}

function textOf(one) {
  if (one.text) return one.text;
  if (one.state === "speaking") return "speaking";
  return one.state === "dropped" ? "" : "(no words)";
}

/** What must be said beside the words, in words. */
function notes(one) {
  const told = [];
  if (one.state === "speaking" && one.text) told.push(["so-far", "words so far"]);
  if (one.state === "revised") {
    const was = one.before;
    const before = was ? `: was ${nameOf(was.label)} ${percent(was.confidence)}` : "";
    told.push(["revised", `revised${before}${was?.abstained ? ", unsure" : ""}`]);
  }
  if (one.state === "dropped") {
    told.push(["dropped", `no result: ${WHY_DROPPED.get(one.reason) ?? words(one.reason)}`]);
  }
  if (one.state === "missed") told.push(["dropped", "the result was missed while away"]);
  if (one.overlapped) told.push(["", "somebody else spoke too"]);
  if (one.modalities.get("text")?.reason === "low_confidence" && one.state !== "speaking") {
    told.push(["", "words too unsure to count"]);
  }
  if (told.length === 0) return [];
  return [make("p", "notes", ...told.map(([kind, text]) => make("span", `note ${kind}`, text)))];
}

/** The emotion, as the button that shows its details. */
function badge(one, picked) {
  const { reading } = one;
  if (reading === null) return make("span", "badge none");
  const button = make("button", "badge");
  button.type = "button";
  button.setAttribute("aria-pressed", String(picked));
  const so_far = one.state === "speaking" ? "so far " : "";
  const unsure = reading.abstained ? ", unsure" : "";
  const name = nameOf(reading.label);
  button.setAttribute(
    "aria-label",
    `${so_far}${name} ${percent(reading.confidence)}${unsure}; show details`,
  );
  button.append(
    shape(reading.label),
    said("span", "label", reading.abstained ? `${name}?` : name),
    make("span", "sure", percent(reading.confidence)),
  );
  if (one.state === "speaking") button.append(make("span", "chip", "so far"));
  else if (reading.abstained) button.append(make("span", "chip", "unsure"));
  return button;
}
