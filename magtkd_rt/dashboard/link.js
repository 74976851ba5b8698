/** The way to the server: which session, and what to do when it ends or goes away. */

import { retryDelay, subscribe } from "/client.js";

import { health } from "./health.js";
import { token } from "./token.js";

const NEXT_MS = 2000;
const UNTOLD_MS = 8000;
const LOST = { name: "lost", message: "The connection was lost. What is missed comes when it is back." };

/**
 * @typedef {object} LinkState
 * @property {"connecting"|"live"|"lost"|"ended"|"waiting"|"away"|"refused"|"unknown"} name
 * @property {string} [message] why, and what to do
 *
 * @typedef {object} Listener
 * @property {(id: string) => void} onSession another session begins: forget what was there
 * @property {(event: object) => void} onEvent
 * @property {(state: LinkState) => void} onState
 */

export class Link {
  /** @param {Listener} listener */
  constructor(listener) {
    this.listener = listener;
    /** The session that events are of. */
    this.current = "";
    this.stop = new AbortController();
  }

  /**
   * Follow a session from its beginning, or from what the server still has of it.
   *
   * @param {string} [chosen] empty follows the current one, and then the next, without end
   */
  open(chosen = "") {
    this.stop.abort();
    this.stop = new AbortController();
    this.current = "";
    this.#follow(chosen, this.stop.signal);
  }

  async #follow(chosen, signal) {
    const { onState } = this.listener;
    while (!signal.aborted) {
      onState({ name: "connecting" });
      try {
        const ended = await this.#hear(chosen, signal);
        if (signal.aborted) return;
        if (ended) onState({ name: "ended" });
        if (ended && chosen) return;
        if (ended) await this.#another(signal);
      } catch (error) {
        if (signal.aborted) return;
        const state = await why(error, chosen);
        onState(state);
        if (state.name === "unknown" || state.name === "refused") return; // until somebody helps
        this.current = "";
      }
      await pause(NEXT_MS, signal);
    }
  }

  /** Hear one session; true where it was heard to its end. */
  async #hear(chosen, signal) {
    const { onSession, onEvent, onState } = this.listener;
    const ended = this.current;
    let isReached = false;
    let isHeard = false;
    const options = {
      session: chosen || undefined,
      since: 0,
      token: token() || undefined,
      attempts: Infinity,
      // A server that is there and has no session yet is asked again soon.
      backoff: (failures) => (isReached && !isHeard ? NEXT_MS / 1000 : retryDelay(failures)),
      signal,
      onStatus: ({ state }) => {
        if (state === "connecting") isReached = false;
        if (state === "open") isReached = true;
        if (state === "open" && isHeard) onState({ name: "live" });
        if (state === "waiting") onState(isReached && !isHeard ? { name: "waiting" } : LOST);
      },
    };
    for await (const event of subscribe("/v1/events", options)) {
      if (signal.aborted) return false;
      const id = event.type === "snapshot" ? event.session?.session_id : event.session_id;
      if (id && id === ended && !chosen) return true; // the same old one again
      if (id && id !== this.current) {
        this.current = id;
        onSession(id);
      }
      if (!isHeard) onState({ name: "live" });
      isHeard = true;
      onEvent(event);
      if (event.type === "session.ended") return true;
    }
    return false;
  }

  /** Wait until the server has another session than the one that has just ended. */
  async #another(signal) {
    while (!signal.aborted) {
      await pause(NEXT_MS, signal);
      const told = await health();
      if (told.state === "ok" && told.current && told.current !== this.current) return;
      if (told.state === "ok" && told.sessions === null) {
        await pause(UNTOLD_MS, signal); // it does not tell without a token: look at the events
        return;
      }
      if (told.state === "away") this.listener.onState({ name: "ended", message: "The server has gone." });
    }
  }
}

/** @returns {Promise<LinkState>} */
async function why(error, chosen) {
  if (error.code === "unauthorized") {
    return { name: "refused", message: error.message };
  }
  if (error.code === "unknown_session") {
    return { name: chosen ? "unknown" : "waiting", message: error.message };
  }
  if (error.code === "unreachable") {
    // A browser does not say why a websocket was refused; a plain request does.
    const told = await health();
    if (told.state === "refused") {
      return { name: "refused", message: "This server does not know this token, or hears no more wrong ones for now." };
    }
    if (told.state === "away") return { name: "away", message: "No server answers here." };
    if (told.sessions === null) {
      return { name: "refused", message: "This server wants a token that may observe." };
    }
  }
  return { name: "lost", message: String(error.message ?? error) };
}

/** @param {number} ms @param {AbortSignal} signal @returns {Promise<void>} */
function pause(ms, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    }, { once: true });
  });
}
