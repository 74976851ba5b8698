/**
 * The probabilities of a session's utterances over its time, within bounds however long it is: the
 * last utterances one by one, older ones drawn together two by two whenever room is short.
 */

/** Most columns kept. */
export const COLUMNS = 1200;
/** Columns that stay as they are, since a revision may still change them. */
const RECENT = 200;

/**
 * @typedef {object} Column
 * @property {number} start seconds
 * @property {number} end seconds
 * @property {number[]} shares a probability for each label
 * @property {number} seconds of speech that it stands for
 * @property {number} utterances how many it stands for
 * @property {string} id of its utterance; empty where it stands for several
 */

export class Timeline {
  /** @param {number} [most] columns kept; at least 16 */
  constructor(most = COLUMNS) {
    this.most = most;
    /** @type {Column[]} in the order of their time */
    this.columns = [];
    /** @type {string[]} the labels that `shares` go by */
    this.labels = [];
  }

  /** @param {import("./board.js").Utterance} one a final or revised utterance */
  take(one) {
    if (one.reading === null || one.probabilities.size === 0) return;
    if (this.labels.length === 0) this.labels = [...one.probabilities.keys()];
    const shares = this.labels.map((label) => one.probabilities.get(label) ?? 0);
    const seconds = Math.max(one.end - one.start, 0.05);
    const column = {
      start: one.start, end: one.start + seconds, shares, seconds, utterances: 1, id: one.id,
    };
    const place = this.columns.findLastIndex((old) => old.id === one.id);
    if (place >= 0) this.columns[place] = column;
    else this.#insert(column);
    if (this.columns.length > this.most) this.#drawTogether();
  }

  /**
   * The columns of a stretch of time, so few that they can be drawn.
   *
   * @param {number} from seconds
   * @param {number} most columns
   * @returns {Column[]}
   */
  since(from, most) {
    let first = this.columns.findIndex((column) => column.end > from);
    if (first < 0) first = this.columns.length;
    let shown = this.columns.slice(first);
    while (shown.length > most) shown = pairs(shown);
    return shown;
  }

  /** What ends earlier may be told later: speakers overlap. */
  #insert(column) {
    let place = this.columns.length;
    while (place > 0 && this.columns[place - 1].start > column.start) place -= 1;
    this.columns.splice(place, 0, column);
  }

  #drawTogether() {
    const keep = Math.min(RECENT, this.most >> 1);
    const older = this.columns.slice(0, -keep);
    this.columns = [...pairs(older), ...this.columns.slice(-keep)];
  }
}

/** Each two neighbours as one, weighed by how long they speak. */
function pairs(columns) {
  const drawn = [];
  for (let n = 0; n < columns.length; n += 2) {
    drawn.push(n + 1 < columns.length ? together(columns[n], columns[n + 1]) : columns[n]);
  }
  return drawn;
}

/** @param {Column} a @param {Column} b @returns {Column} */
function together(a, b) {
  const seconds = a.seconds + b.seconds;
  const shares = a.shares.map((p, n) => (p * a.seconds + b.shares[n] * b.seconds) / seconds);
  const utterances = a.utterances + b.utterances;
  return {
    start: Math.min(a.start, b.start), end: Math.max(a.end, b.end), shares, seconds, utterances,
    id: "",
  };
}
