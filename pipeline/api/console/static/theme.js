// The theme that was chosen here, before anything is drawn.
// Owns: data-theme on the root element, and the key `awaway-theme` of this browser's storage.
"use strict";
(() => {
  const kept = () => {
    try { return localStorage.getItem("awaway-theme"); } catch { return null; }
  };
  const chosen = kept();
  if (chosen === "dark" || chosen === "light") document.documentElement.dataset.theme = chosen;
})();
