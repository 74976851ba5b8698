/** What the session is, how it is doing, and what was left out. */

import { make, said, setText } from "./dom.js";
import { clean, clock, duration, words } from "./text.js";

const NOTICES = 12;
const LEVELS = new Map([["info", "Info"], ["warning", "Warning"], ["error", "Error"]]);
const LATE_MS = 2000;

export class Facts {
  /**
   * @param {Record<"title"|"notice"|"facts"|"notices"|"recording"|"lag", HTMLElement>} places
   */
  constructor(places) {
    this.places = places;
    this.second = -1;
  }

  /**
   * @param {import("./board.js").Board} board
   * @param {number} lagMs how far the machine is behind
   */
  draw(board, lagMs) {
    const { started, counts } = board;
    const sources = [started?.sources?.audio, started?.sources?.video].map((s) => clean(s, 120));
    const heard = [...new Set(sources.filter(Boolean))].join(" and ");
    setText(this.places.title, heard || (started ? "no source" : "No session yet"));
    setText(this.places.notice, clean(started?.notice, 1000));
    this.places.recording.hidden = !board.recording || board.ended !== null;
    setText(this.places.lag, started && board.ended === null ? `lag ${duration(lagMs)}` : "");
    this.places.lag.classList.toggle("is-late", lagMs >= LATE_MS);
    if (!board.changed.facts && this.second === Math.floor(board.t)) return;
    this.second = Math.floor(board.t);
    const dropped = [...board.dropped].filter(([, n]) => n > 0).map(([kind, n]) => `${n} ${words(kind)}`);
    const rows = [
      ["Session", board.sessionId],
      ["Words by", started?.asr?.name],
      ["Models", started ? `${clean(started.bundle?.name, 60)}, ${clean(started.engine, 60)}` : ""],
      ["Licence", started?.bundle?.licence],
      ["Heard so far", board.t > 0 ? clock(board.t) : ""],
      ["Results", `${counts.final}, of which ${counts.unsure} unsure; ${counts.revised} revised`],
      ["Without result", String(counts.dropped)],
      ["Last result", board.resultMs ? `${duration(board.resultMs)} after the last sound` : "–"],
      ["Left out or lost", dropped.join(", ") || "nothing"],
      ["Ended", board.ended?.reason],
    ];
    this.places.facts.replaceChildren(
      ...rows
        .map(([name, value]) => [name, clean(value, 300)])
        .filter(([, value]) => value)
        .map(([name, value]) => make("div", "fact", make("dt", "", name), said("dd", "", value))),
    );
  }

  /** @param {import("./board.js").Board} board */
  drawNotices(board) {
    const shown = board.notices.slice(-NOTICES).reverse();
    this.places.notices.replaceChildren(
      ...shown.map((notice) => make(
        "li", `notice-row is-${notice.level}`,
        make("span", "level", LEVELS.get(notice.level)),
        said("span", "message", notice.message),
        make("time", "when", clock(notice.t)),
      )),
    );
  }
}
