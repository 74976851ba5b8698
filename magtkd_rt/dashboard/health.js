/** What the server says of itself: its sessions, and how far it is behind. */

import { clean, number } from "./text.js";
import { token } from "./token.js";

/**
 * @typedef {object} Health
 * @property {"ok"|"refused"|"away"} state `refused`: it wants a token; `away`: nobody answers
 * @property {string} current the session that is meant where none is named; empty if not told
 * @property {{id: string, seq: number, ended: boolean}[]|null} sessions null where it does not tell
 * @property {number|null} lagMs
 * @property {boolean} takesMedia whether anybody may send sound and pictures to it
 */

/** @returns {Promise<Health>} */
export async function health() {
  const given = token();
  const headers = given ? { Authorization: `Bearer ${given}` } : {};
  try {
    const response = await fetch("/health", { headers, cache: "no-store" });
    if ([401, 403, 429].includes(response.status)) return nothing("refused");
    const body = await response.json();
    return {
      state: "ok",
      current: typeof body.session === "string" ? body.session : "",
      sessions: body.sessions && typeof body.sessions === "object" ? listed(body.sessions) : null,
      takesMedia: body.ingest === true,
      lagMs: typeof body.lag_ms === "number" ? number(body.lag_ms) : null,
    };
  } catch {
    return nothing("away");
  }
}

function nothing(state) {
  return { state, current: "", sessions: null, lagMs: null, takesMedia: true };
}

function listed(sessions) {
  return Object.entries(sessions).slice(-50).map(([id, one]) => ({
    id: clean(id, 100), seq: number(one?.seq), ended: one?.ended === true,
  }));
}
