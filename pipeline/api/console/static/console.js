// What pages do beyond links and forms.
// Owns: the theme button, the browser's own zone, moving in the calendar by keys, the live tail.
// Does not own: fetching parts of pages (htmx.min.js).
"use strict";

(() => {
  const root = document.documentElement;
  const button = document.getElementById("theme");
  const isDark = () =>
    root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  const say = () => { button.textContent = isDark() ? "Light theme" : "Dark theme"; };
  if (button) {
    button.hidden = false;
    say();
    button.addEventListener("click", () => {
      root.dataset.theme = isDark() ? "light" : "dark";
      try { localStorage.setItem("awaway-theme", root.dataset.theme); } catch { /* for this page only */ }
      say();
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", say);
  }
})();

(() => {
  // Pages read in the zone that their address names; only the browser knows its own.
  const form = document.getElementById("zone");
  if (!form) return;
  const pills = [...form.querySelectorAll("a[data-zone]")];
  const chosen = pills.findLast((pill) => pill.hasAttribute("aria-current"));
  const browser = pills.find((pill) => pill.dataset.zone === "browser");
  const here = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const isKnown = here && here !== "Etc/Unknown"; // what a browser says that does not know
  if (isKnown && chosen.dataset.zone === here) chosen.textContent += " (this browser’s)";
  else if (isKnown) {
    browser.dataset.zone = here;
    browser.textContent = `This browser’s: ${here.replaceAll("_", " ")}`;
    browser.hidden = false;
  }
  const follow = () => {
    // A search changes the address without loading the page.
    for (const pill of pills) {
      const address = new URL(location.href);
      address.hash = "";
      if (pill.dataset.zone) address.searchParams.set("tz", pill.dataset.zone);
      else address.searchParams.delete("tz");
      pill.href = address.pathname + address.search;
    }
    const search = form.elements.namedItem("q");
    if (search) {
      search.value = new URL(location.href).searchParams.get("q") ?? "";
      search.disabled = !search.value;
    }
  };
  follow();
  document.body.addEventListener("htmx:replacedInHistory", follow);
})();

(() => {
  // One day of a year can be reached by Tab; arrows move from there.
  for (const table of document.querySelectorAll("table.year")) {
    const rows = [...table.tBodies[0].rows];
    const at = (row, column) => rows[row]?.cells[column]?.querySelector("a");
    const days = [...table.querySelectorAll("a.cell")];
    if (!days.length) continue;
    const latest = days.reduce((a, b) => (a.search > b.search ? a : b));
    latest.tabIndex = 0;
    const box = table.parentElement;
    const place = latest.parentElement.offsetLeft + 60 - box.clientWidth;
    if (place > 0) box.scrollLeft = place;
    table.addEventListener("keydown", (event) => {
      const cell = event.target.closest("td");
      if (!cell) return;
      let row = cell.parentElement.sectionRowIndex;
      let column = cell.cellIndex;
      if (event.key === "ArrowUp") row -= 1;
      else if (event.key === "ArrowDown") row += 1;
      else if (event.key === "ArrowLeft") column -= 1;
      else if (event.key === "ArrowRight") column += 1;
      else return;
      if (row < 0) { row = 6; column -= 1; }
      if (row > 6) { row = 0; column += 1; }
      const next = at(row, column);
      event.preventDefault();
      if (!next) return;
      for (const day of days) day.tabIndex = -1;
      next.tabIndex = 0;
      next.focus();
    });
  }
})();

(() => {
  const tail = document.getElementById("tail");
  if (!tail) return;
  const state = document.getElementById("tail-state");
  const pause = document.getElementById("pause");
  const body = tail.tBodies[0];
  const most = 300;
  let isPaused = false;
  let waiting = [];
  let left = 0;

  const cell = (row, name, ...inside) => {
    const made = document.createElement("td");
    if (name) made.className = name;
    made.append(...inside);
    row.append(made);
  };
  const linked = (text, address) => {
    const made = document.createElement("a");
    made.textContent = text;
    made.href = address;
    return made;
  };
  const rowOf = (one) => {
    const row = document.createElement("tr");
    row.className = "fresh";
    cell(row, "when", one.time);
    const tag = document.createElement("span");
    tag.className = `tag ${one.tone}`;
    tag.textContent = one.word;
    cell(row, "kind", one.kind);
    cell(row, "who", one.user ? linked(one.user, one.href) : "");
    const text = document.createElement("span");
    text.className = "text";
    text.textContent = one.text;
    cell(row, "", tag, " ", text);
    cell(row, "place", one.source);
    return row;
  };
  const show = (many) => {
    for (const one of many) body.prepend(rowOf(one));
    while (body.rows.length > most) body.lastElementChild.remove();
    document.getElementById("tail-none")?.remove();
  };
  const tell = (text) => { state.textContent = text; };
  const following = () => tell(left ? `Following; ${left.toLocaleString("en")} left out, as there were too many` : "Following");

  pause.hidden = false;
  pause.addEventListener("click", () => {
    isPaused = !isPaused;
    pause.setAttribute("aria-pressed", String(isPaused));
    pause.textContent = isPaused ? "Go on" : "Pause";
    if (isPaused) tell("Paused");
    else { show(waiting); waiting = []; following(); }
  });

  const source = new EventSource(tail.dataset.events);
  source.addEventListener("open", () => { if (!isPaused) following(); });
  source.addEventListener("error", () => { tell(source.readyState === 2 ? "Ended; load the page again" : "Reconnecting"); });
  source.addEventListener("rows", (event) => {
    const { rows, left_out: leftOut } = JSON.parse(event.data);
    left += leftOut;
    if (isPaused) {
      waiting = waiting.concat(rows).slice(-most);
      tell(`Paused; ${waiting.length} waiting`);
    } else {
      show(rows);
      following();
    }
  });
  addEventListener("pagehide", () => source.close());
})();
