// Before the first paint, so that nothing flashes: which theme, and whether it is the overlay.
{
  const root = document.documentElement;
  const theme = localStorage.getItem("magtkd-theme");
  if (theme === "light" || theme === "dark") root.dataset.theme = theme;
  if (new URLSearchParams(location.search).get("overlay") === "1") root.classList.add("overlay");
}
