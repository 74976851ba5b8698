/** Text of others, made safe to show; and numbers as people read them. */

const TEXT_LIMIT = 2000;

/**
 * A string of others for `textContent`: no control characters, no marks that turn the direction of
 * what stands beside it, no piles of accents, and not longer than it can be read.
 *
 * @param {unknown} value what came over the wire; what is no string becomes empty.
 * @param {number} [limit] most characters.
 * @returns {string}
 */
export function clean(value, limit = TEXT_LIMIT) {
  if (typeof value !== "string") return "";
  const cut = value.length > limit ? value.slice(0, limit) : value;
  const safe = cut
    .replace(/[\p{Cc}\u2028\u2029]+/gu, " ")
    .replace(/[\u061C\u200B\u200E\u200F\u202A-\u202E\u2060-\u206F\uFEFF\u{E0000}-\u{E007F}]/gu, "")
    .replace(/[\p{Cs}\p{Co}\p{Cn}]/gu, "\uFFFD")
    .replace(/(\p{M}{4})\p{M}+/gu, "$1");
  const left = value.length - cut.length;
  return left > 0 ? `${safe} … (${left.toLocaleString("en")} more characters)` : safe;
}

/**
 * @param {unknown} value
 * @param {number} [otherwise] for what is no finite number.
 * @returns {number}
 */
export function number(value, otherwise = 0) {
  return typeof value === "number" && Number.isFinite(value) ? value : otherwise;
}

/** @param {unknown} value @returns {number} a share, 0 to 1. */
export function share(value) {
  return Math.min(1, Math.max(0, number(value)));
}

/** @param {number} value a share @returns {string} like `62 %`. */
export function percent(value) {
  return `${Math.round(value * 100)}\u202F%`;
}

/** @param {number} value a difference of shares @returns {string} like `+15 points`. */
export function points(value) {
  const whole = Math.round(value * 100);
  const sign = whole > 0 ? "+" : whole < 0 ? "\u2212" : "\u00B1";
  return `${sign}${Math.abs(whole)}\u202Fpoints`;
}

/** @param {number} seconds @returns {string} like `1:02:03`, `2:05` or `0:07`. */
export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const two = (/** @type {number} */ part) => String(part).padStart(2, "0");
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  return h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

/** @param {number} ms milliseconds @returns {string} like `340 ms` or `1.2 s`. */
export function duration(ms) {
  return ms < 1000 ? `${Math.round(ms)}\u202Fms` : `${(ms / 1000).toFixed(1)}\u202Fs`;
}

/** @param {string} name like `no_room` @returns {string} like `no room`. */
export function words(name) {
  return clean(name, 60).replaceAll("_", " ");
}
