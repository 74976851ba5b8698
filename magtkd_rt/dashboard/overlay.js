/** The overlay for streaming software: who says what, and what it expresses; gone in silence. */

import { make, said } from "./dom.js";
import { hueClass, nameOf, shape } from "./emotions.js";
import { percent } from "./text.js";

/** How long a line stays when nothing more is said. */
const STAYS_MS = 8000;
const LINES = 2;
const TAIL = 180;

export class Overlay {
  /** @param {HTMLElement} place */
  constructor(place) {
    this.place = place;
    this.timer = 0;
  }

  /** @param {import("./board.js").Board} board */
  draw(board) {
    const spoken = [...board.utterances.values()].slice(-8)
      .filter((one) => one.state !== "dropped" && (one.text || one.reading)).slice(-LINES);
    this.place.replaceChildren(...spoken.map(line));
    this.place.classList.remove("is-quiet");
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.place.classList.add("is-quiet"), STAYS_MS);
  }
}

function line(one) {
  const row = make("li", `line is-${one.state} ${hueClass(one.reading?.label ?? "")}`);
  row.append(said("span", "who", one.speaker || "…"));
  const { reading } = one;
  if (reading !== null) {
    const name = `${nameOf(reading.label)}${reading.abstained || one.state === "speaking" ? "?" : ""}`;
    row.append(make("span", "badge", shape(reading.label), said("span", "label", name), make("span", "sure", percent(reading.confidence))));
  }
  const text = one.text.length > TAIL ? `… ${one.text.slice(-TAIL)}` : one.text;
  row.append(said("span", "said", text));
  return row;
}
