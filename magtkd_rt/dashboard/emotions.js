/** How an emotion is shown: a shape, a colour and its name, so that none is told by colour alone. */

import { clean } from "./text.js";

const SVG = "http://www.w3.org/2000/svg";

/** A path in a box of 16 by 16 for each label of this project. */
const SHAPES = {
  neutral: "M2 6.5h12v3H2z",
  joy: "M8 2 15 14H1z",
  sadness: "M1 2h14L8 14z",
  anger: "M8 .5 15.5 8 8 15.5.5 8z",
  surprise: "M8 .5l2 5.3 5.6.2-4.4 3.5 1.5 5.500L8 11.9 3.3 15l1.5-5.500L.4 6l5.6-.2z",
  fear: "M1 9.500C2.5 4.5 5 4.5 8 8s4.5 3 6-1.500l1.5.9C13.5 13 10 13.5 7 10S4 7.5 2.6 11z",
  disgust: "M3.5 1.5 8 6l4.5-4.5 2 2L10 8l4.5 4.5-2 2L8 10l-4.5 4.5-2-2L6 8 1.5 3.500z",
};
const OTHER = "M8 1.500a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13zm0 3a3.5 3.5 0 1 1 0 7 3.5 3.5 0 0 1 0-7z";

/**
 * The CSS class that brings a label's colour as `--hue`.
 *
 * @param {string} label
 * @returns {string}
 */
export function hueClass(label) {
  return Object.hasOwn(SHAPES, label) ? `hue-${label}` : "hue-other";
}

/**
 * A label's shape, for the eye only: its name always stands beside it.
 *
 * @param {string} label
 * @returns {SVGElement}
 */
export function shape(label) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("class", `shape ${hueClass(label)}`);
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", Object.hasOwn(SHAPES, label) ? SHAPES[label] : OTHER);
  svg.append(path);
  return svg;
}

/**
 * The colour of a label in the present theme, for what is drawn outside of CSS.
 *
 * @param {string} label
 * @returns {string}
 */
export function colour(label) {
  const name = Object.hasOwn(SHAPES, label) ? label : "other";
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

/** @param {unknown} label @returns {string} a label as it is shown. */
export function nameOf(label) {
  return clean(label, 24) || "no label";
}
