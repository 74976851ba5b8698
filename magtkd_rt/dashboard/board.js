/**
 * What the page knows of a session, as its events change it. No drawing here: drawers look at
 * `changed` when they get to it, however many events came since.
 */

import { clean, number, share } from "./text.js";

/** Utterances kept whole; older ones stay in the timeline only. */
export const KEPT = 2000;
const NOTICES = 50;

/**
 * @typedef {object} Reading what was recognised in an utterance
 * @property {string} label
 * @property {number} confidence
 * @property {boolean} abstained
 *
 * @typedef {object} Utterance
 * @property {string} id
 * @property {number} number 1, 2, 3 ... in the order of their beginning
 * @property {"speaking"|"final"|"revised"|"dropped"|"missed"} state
 * @property {string} speaker
 * @property {number|null} speakerConfidence
 * @property {string} text
 * @property {boolean} wordsFinal
 * @property {number} start seconds
 * @property {number} end seconds
 * @property {Reading|null} reading provisional while the state is `speaking`
 * @property {number} revision
 * @property {Reading|null} before what a revised one was
 * @property {Map<string, number>} probabilities
 * @property {Map<string, {present: boolean, contribution: number|null, reason: string}>} modalities
 * @property {boolean} overlapped
 * @property {{seen: number, others: number}|null} face
 * @property {number} totalMs from the last sound to the result
 * @property {string} reason why it was dropped
 */

export class Board {
  constructor() {
    /** @type {object|null} how the session began, as it came over the wire */
    this.started = null;
    /** @type {{reason: string, totals: Map<string, number>}|null} */
    this.ended = null;
    /** @type {Map<string, Utterance>} the oldest first */
    this.utterances = new Map();
    /** @type {Set<Utterance>} those without a result yet */
    this.open = new Set();
    /** @type {Utterance|null} the one that told us something last */
    this.latest = null;
    /** @type {{level: string, code: string, message: string, t: number}[]} */
    this.notices = [];
    /** @type {Map<string, number>} what was dropped, by kind */
    this.dropped = new Map();
    this.counts = { begun: 0, final: 0, revised: 0, unsure: 0, dropped: 0, forgotten: 0 };
    this.t = 0;
    this.lagMs = 0;
    this.resultMs = 0;
    this.recording = false;
    /** What has changed since a drawer last emptied it: `facts`, `notices`, utterances' ids. */
    this.changed = { facts: true, notices: true, utterances: new Set() };
    /** @type {(utterance: Utterance) => void} called with every final, revised or dropped one */
    this.onResult = () => {};
  }

  get sessionId() {
    return this.started === null ? "" : this.started.session_id;
  }

  /** @returns {string[]} the labels, in the bundle's order */
  get labels() {
    const labels = this.started?.labels;
    return Array.isArray(labels) ? labels.filter((label) => typeof label === "string") : [];
  }

  /** @param {object} event any message of the server's; unknown types are passed over. */
  take(event) {
    this.t = Math.max(this.t, number(event.t));
    switch (event.type) {
      case "session.started":
        this.started = event;
        this.changed.facts = true;
        break;
      case "snapshot":
        this.#snapshot(event);
        break;
      case "speech.started":
        this.#find(event.utterance_id, event.t);
        break;
      case "transcript":
        this.#words(event);
        break;
      case "emotion":
        this.#emotion(event);
        break;
      case "utterance.dropped":
        this.#drop(event);
        break;
      case "status":
        this.#status(event);
        break;
      case "session.ended":
        this.ended = { reason: clean(event.reason, 200), totals: counted(event.totals) };
        this.changed.facts = true;
        break;
    }
  }

  /** All that has changed has been drawn. */
  drawn() {
    this.changed = { facts: false, notices: false, utterances: new Set() };
  }

  #find(id, t) {
    const name = clean(id, 100);
    let found = this.utterances.get(name);
    if (found === undefined) {
      this.counts.begun += 1;
      found = unheard(name, this.counts.begun, number(t));
      this.utterances.set(name, found);
      this.open.add(found);
      if (this.utterances.size > KEPT) this.#forget();
    }
    this.changed.utterances.add(name);
    return found;
  }

  #forget() {
    const [oldest] = this.utterances.values();
    this.utterances.delete(oldest.id);
    this.open.delete(oldest);
    this.changed.utterances.add(oldest.id);
    this.counts.forgotten += 1;
  }

  #words(event) {
    const one = this.#find(event.utterance_id, event.start);
    if (one.wordsFinal || one.state === "dropped") return;
    one.text = clean(event.text);
    one.wordsFinal = event.final === true;
    this.#who(one, event);
    this.latest = one;
  }

  #who(one, event) {
    one.speaker = clean(event.speaker, 40) || "S?";
    const sure = event.speaker_confidence;
    one.speakerConfidence = typeof sure === "number" ? share(sure) : null;
    one.start = number(event.start, one.start);
    one.end = Math.max(one.start, number(event.end, one.end));
  }

  #emotion(event) {
    const one = this.#find(event.utterance_id, event.start);
    const provisional = event.stage === "provisional";
    const revision = number(event.revision);
    if (one.state !== "speaking" && (provisional || revision <= one.revision)) return;
    const reading = {
      label: clean(event.label, 24),
      confidence: share(event.confidence),
      abstained: event.abstained === true,
    };
    if (event.stage === "revised") {
      if (one.state !== "speaking" && one.reading !== null) one.before = one.reading;
      this.counts.revised += 1;
    } else if (event.stage === "final" && one.state === "speaking") {
      this.counts.final += 1;
      this.counts.unsure += reading.abstained ? 1 : 0;
    }
    one.state = provisional ? "speaking" : event.stage === "revised" ? "revised" : "final";
    one.revision = revision;
    one.reading = reading;
    this.#who(one, event);
    if (event.text || !provisional) one.text = clean(event.text);
    one.wordsFinal = one.wordsFinal || !provisional;
    one.probabilities = counted(event.probabilities, 32);
    one.modalities = modalitiesOf(event.modalities);
    one.overlapped = event.overlapped === true;
    one.face = event.face
      ? { seen: share(event.face.seen), others: number(event.face.others) }
      : null;
    one.totalMs = number(event.latency?.total_ms);
    // A second look at an earlier utterance does not make it the present one.
    if (event.stage !== "revised" || (this.latest?.number ?? 0) < one.number) this.latest = one;
    if (provisional) return;
    this.open.delete(one);
    if (event.stage === "final") this.resultMs = one.totalMs;
    this.changed.facts = true;
    this.onResult(one);
  }

  #drop(event) {
    const one = this.#find(event.utterance_id, event.t);
    one.state = "dropped";
    this.open.delete(one);
    one.reason = clean(event.reason, 60);
    one.end = Math.max(one.start, number(event.t, one.end));
    this.counts.dropped += 1;
    this.changed.facts = true;
    this.onResult(one);
  }

  #status(event) {
    this.lagMs = number(event.lag_ms);
    for (const [kind, count] of counted(event.dropped)) this.dropped.set(kind, count);
    if (event.code === "recording") this.recording = true;
    if (event.code === "recording_failed") this.recording = false;
    this.notices.push({
      level: ["warning", "error"].includes(event.level) ? event.level : "info",
      code: clean(event.code, 60),
      message: clean(event.message, 600),
      t: number(event.t),
    });
    if (this.notices.length > NOTICES) this.notices.shift();
    this.changed.notices = true;
    this.changed.facts = true;
  }

  /** The state after a gap: what was open and is not any more has ended without our hearing how. */
  #snapshot(event) {
    if (event.session) this.take(event.session);
    const open = Array.isArray(event.open_utterances) ? event.open_utterances : [];
    const recent = Array.isArray(event.recent) ? event.recent : [];
    const known = new Set([...open, ...recent].map((one) => clean(one.utterance_id, 100)));
    for (const one of this.open) {
      if (known.has(one.id)) continue;
      one.state = "missed";
      this.open.delete(one);
      this.changed.utterances.add(one.id);
    }
    for (const emotion of recent) this.take(emotion);
    for (const speech of open) this.take(speech);
  }
}

/** @returns {Utterance} */
function unheard(id, nth, start) {
  return {
    id, number: nth, state: "speaking", speaker: "", speakerConfidence: null, text: "",
    wordsFinal: false, start, end: start, reading: null, revision: -1,
    before: null, probabilities: new Map(),
    modalities: new Map(), overlapped: false, face: null, totalMs: 0, reason: "",
  };
}

/** @param {unknown} object @returns {Map<string, number>} its numbers by their cleaned names */
function counted(object, most = 64) {
  const entries = object && typeof object === "object" ? Object.entries(object) : [];
  return new Map(entries.slice(0, most).map(([name, n]) => [clean(name, 60), number(n)]));
}

function modalitiesOf(object) {
  const found = new Map();
  for (const name of ["text", "audio", "video"]) {
    const part = object?.[name];
    const moved = part?.contribution;
    found.set(name, {
      present: part?.present === true,
      contribution: typeof moved === "number" && Number.isFinite(moved) ? moved : null,
      reason: clean(part?.reason, 40),
    });
  }
  return found;
}
