/** The token that a server may ask for: kept for this tab, never in the address. */

const KEY = "magtkd-token";

/** @returns {string} the token; from `#token=...` first, which then leaves the address */
export function token() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given !== null) {
    keepToken(given);
    history.replaceState(null, "", location.pathname + location.search);
  }
  return sessionStorage.getItem(KEY) ?? "";
}

/** @param {string} value empty forgets it */
export function keepToken(value) {
  if (value) sessionStorage.setItem(KEY, value.trim());
  else sessionStorage.removeItem(KEY);
}
