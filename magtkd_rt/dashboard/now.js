/** One utterance in detail: each label's probability, and what each modality did. */

import { make, said, setText } from "./dom.js";
import { hueClass, nameOf, shape } from "./emotions.js";
import { clock, duration, percent, points, words } from "./text.js";

const MODALITIES = new Map([["text", "Words"], ["audio", "Voice"], ["video", "Face"]]);
const WHY_ABSENT = new Map([
  ["no_sound", "no sound"],
  ["no_face", "no face seen"],
  ["no_words", "no words"],
  ["low_confidence", "words too unsure to count"],
  ["overload", "left out for lack of time"],
  ["error", "failed"],
]);
/** A contribution that fills its half of the bar, in shares. */
const FULL = 0.5;

export class Now {
  /** @param {{head: HTMLElement, bars: HTMLElement, parts: HTMLElement, foot: HTMLElement}} places */
  constructor(places) {
    this.places = places;
    /** @type {Map<string, {bar: HTMLElement, value: HTMLElement, row: HTMLElement}>} */
    this.rows = new Map();
  }

  /**
   * @param {import("./board.js").Utterance|null} one
   * @param {string[]} labels in the order to show
   */
  draw(one, labels) {
    const shown = one?.probabilities.size ? [...one.probabilities.keys()] : labels;
    this.#layRows(shown);
    this.places.head.replaceChildren(...heading(one));
    for (const [label, { bar, value, row }] of this.rows) {
      const p = one?.probabilities.get(label);
      bar.style.width = `${(p ?? 0) * 100}%`;
      setText(value, p === undefined ? "–" : percent(p));
      row.classList.toggle("is-best", p !== undefined && one?.reading?.label === label);
    }
    const unsettled = one !== null && one.state === "speaking";
    this.places.bars.classList.toggle("is-provisional", unsettled);
    this.places.bars.classList.toggle("is-unsure", one?.reading?.abstained === true);
    this.places.parts.replaceChildren(...[...MODALITIES].map(([key, name]) => modality(name, one?.modalities.get(key))));
    setText(this.places.foot, footing(one));
  }

  #layRows(labels) {
    if (labels.length === this.rows.size && labels.every((label) => this.rows.has(label))) return;
    this.rows.clear();
    const rows = labels.slice(0, 16).map((label) => {
      const bar = make("span", "bar");
      const value = make("span", "value");
      const row = make(
        "li",
        `bar-row ${hueClass(label)}`,
        make("span", "name", shape(label), said("span", "", nameOf(label))),
        make("span", "track", bar),
        value,
      );
      this.rows.set(label, { bar, value, row });
      return row;
    });
    this.places.bars.replaceChildren(...rows);
  }
}

function heading(one) {
  if (one === null) return [make("p", "idle", "Nobody has spoken yet.")];
  const { reading } = one;
  const who = make("p", "by", said("b", "", one.speaker || "Somebody"), ` at ${clock(one.start)}`);
  if (reading === null) {
    const gone = one.state === "dropped" ? "no result" : "listening …";
    return [make("p", "big none", gone), who];
  }
  const state = { speaking: "so far", final: "", revised: "revised", dropped: "no result", missed: "so far" };
  const big = make(
    "p",
    `big ${hueClass(reading.label)} ${reading.abstained ? "is-unsure" : ""} is-${one.state}`,
    shape(reading.label),
    said("span", "label", reading.abstained ? `${nameOf(reading.label)}?` : nameOf(reading.label)),
    make("span", "sure", percent(reading.confidence)),
  );
  if (state[one.state]) big.append(make("span", "chip", state[one.state]));
  if (reading.abstained) big.append(make("span", "chip", "unsure: better not act on it"));
  if (one.before) {
    const was = `was ${nameOf(one.before.label)} ${percent(one.before.confidence)}`;
    who.append(make("span", "was", ` · ${was}`));
  }
  return one.text ? [big, who, said("p", "quote", one.text)] : [big, who];
}

/** A bar to the right speaks for the label, one to the left against it. */
function modality(name, part) {
  const row = make("li", "part");
  const track = make("span", "scale");
  let told = "–";
  if (part?.present) {
    const moved = part.contribution;
    told = moved === null ? "took part" : points(moved);
    if (moved !== null) {
      const bar = make("span", moved < 0 ? "against" : "for");
      bar.style.width = `${Math.min(1, Math.abs(moved) / FULL) * 50}%`;
      track.append(bar);
    }
  } else if (part !== undefined) {
    row.classList.add("is-absent");
    told = WHY_ABSENT.get(part.reason) ?? (words(part.reason) || "did not take part");
  }
  row.append(make("span", "name", part?.present ? "● " : "○ ", name), track, make("span", "value", told));
  return row;
}

function footing(one) {
  if (one === null) return "";
  const told = [];
  if (one.totalMs > 0 && one.state !== "speaking") {
    const looked = one.state === "revised" ? "looked at again " : "";
    told.push(`${looked}${duration(one.totalMs)} after the last sound`);
  }
  if (one.speakerConfidence !== null) told.push(`speaker ${percent(one.speakerConfidence)} sure`);
  if (one.face) {
    const others = one.face.others ? `, ${one.face.others} other faces beside it` : "";
    told.push(`face in ${percent(one.face.seen)} of the pictures${others}`);
  }
  return told.join(" · ");
}
