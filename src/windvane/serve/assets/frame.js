"use strict";
// Light or dark, on every page. It runs before the page is drawn, so that nothing flashes.
(() => {
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  try { if (localStorage.theme === "light" || localStorage.theme === "dark") root.dataset.theme = localStorage.theme; } catch { /* no storage */ }
  const isDark = () => (root.dataset.theme || (system.matches ? "dark" : "light")) === "dark";
  addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    const label = () => {
      button.textContent = isDark() ? "Light" : "Dark";
      button.setAttribute("aria-label", "Switch to " + (isDark() ? "light" : "dark") + " colours");
    };
    button.hidden = false;
    button.addEventListener("click", () => {
      root.dataset.theme = isDark() ? "light" : "dark";
      try { localStorage.theme = root.dataset.theme; } catch { /* no storage */ }
      label();
    });
    system.addEventListener("change", label);
    label();
  });
})();
