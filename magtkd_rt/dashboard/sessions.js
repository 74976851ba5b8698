/** Choosing a session, and giving a token. */

import { make } from "./dom.js";
import { keepToken, token } from "./token.js";

const OTHER = "\u0000other";

export class Sessions {
  /**
   * @param {HTMLSelectElement} select
   * @param {HTMLDialogElement} dialog with the fields `session` and `token`
   * @param {(session: string) => void} onChoose empty follows the current session
   */
  constructor(select, dialog, onChoose) {
    this.select = select;
    this.dialog = dialog;
    this.onChoose = onChoose;
    this.chosen = "";
    this.shown = "";
    this.draw([]);
    select.addEventListener("change", () => {
      if (select.value === OTHER) this.ask();
      else this.choose(select.value);
    });
    const form = dialog.querySelector("form");
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      keepToken(form.elements.token.value);
      dialog.close();
      this.choose(form.elements.session.value.trim());
    });
    dialog.querySelector("[data-cancel]").addEventListener("click", () => dialog.close());
    dialog.addEventListener("close", () => { select.value = this.chosen; });
  }

  /**
   * Ask for a session by its id, and for a token.
   *
   * @param {boolean} [wantsToken] it is the token that is missing
   */
  ask(wantsToken = false) {
    const { elements } = this.dialog.querySelector("form");
    elements.session.value = this.chosen;
    elements.token.value = token();
    if (!this.dialog.open) this.dialog.showModal();
    if (wantsToken) elements.token.focus();
  }

  /** @param {string} session */
  choose(session) {
    this.chosen = session;
    this.draw(this.sessions);
    this.onChoose(session);
  }

  /** @param {{id: string, ended: boolean}[]|null} sessions null where the server does not tell */
  draw(sessions) {
    this.sessions = sessions ?? [];
    const known = this.sessions.some(({ id }) => id === this.chosen);
    const options = [
      ["", "Current session"],
      ...(this.chosen && !known ? [[this.chosen, this.chosen]] : []),
      ...[...this.sessions].reverse().map(({ id, ended }) => [id, ended ? `${id} (ended)` : id]),
      [OTHER, "Another, or a token …"],
    ];
    const wanted = JSON.stringify(options);
    if (wanted === this.shown) return;
    this.shown = wanted;
    this.select.replaceChildren(...options.map(([value, name]) => {
      const option = /** @type {HTMLOptionElement} */ (make("option", "", name));
      option.value = value;
      return option;
    }));
    this.select.value = this.chosen;
  }
}
