/** The switch between light and dark; until it is used, the system decides. */

const KEY = "magtkd-theme";

/**
 * @param {HTMLElement} button
 * @param {() => void} onChange called when what is drawn outside of CSS must be drawn anew
 */
export function themeSwitch(button, onChange) {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const root = document.documentElement;
  const isDark = () => (root.dataset.theme ?? (dark.matches ? "dark" : "light")) === "dark";
  const show = () => {
    button.textContent = isDark() ? "Light theme" : "Dark theme";
    onChange();
  };
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    localStorage.setItem(KEY, root.dataset.theme);
    show();
  });
  dark.addEventListener("change", show);
  show();
}
