/** Making elements. Text goes in as text only: the page's policy forbids markup from strings. */

/**
 * @param {string} tag
 * @param {string} [classes]
 * @param {...(Node|string)} children
 * @returns {HTMLElement}
 */
export function make(tag, classes = "", ...children) {
  const element = document.createElement(tag);
  if (classes) element.className = classes;
  element.append(...children);
  return element;
}

/**
 * Text of others, set apart so that its direction turns nothing beside it.
 *
 * @param {string} tag
 * @param {string} classes
 * @param {string} text
 */
export function said(tag, classes, text) {
  const element = make(tag, classes, text);
  element.dir = "auto";
  return element;
}

/**
 * @param {string} id
 * @returns {HTMLElement} the page's element of that id.
 */
export function byId(id) {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`the page has no #${id}`);
  return found;
}

/**
 * Set text only where it changes, so that nothing is laid out or read out anew for nothing.
 *
 * @param {Element} element
 * @param {string} text
 */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
