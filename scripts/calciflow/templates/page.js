"use strict";
// Sorting: a click or Enter on a column's head; numbers by value, what is absent comes last.
document.querySelectorAll("table.sortable thead th button").forEach(function (button) {
  button.addEventListener("click", function () {
    var head = button.closest("th"), table = head.closest("table"), body = table.tBodies[0];
    var place = Array.prototype.indexOf.call(head.parentNode.children, head);
    var down = head.getAttribute("aria-sort") === "ascending";
    var numeric = head.classList.contains("num");
    head.parentNode.querySelectorAll("th").forEach(function (other) { other.removeAttribute("aria-sort"); });
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    var rows = Array.prototype.map.call(body.rows, function (row, rank) {
      var key = row.cells[place].getAttribute("data-v");
      return { row: row, rank: rank, key: numeric && key !== "" ? Number(key) : key };
    });
    rows.sort(function (a, b) {
      if (a.key === "" || b.key === "") { return (a.key === "") - (b.key === "") || a.rank - b.rank; }
      if (a.key === b.key) { return a.rank - b.rank; }
      return (a.key < b.key ? -1 : 1) * (down ? -1 : 1);
    });
    rows.forEach(function (item) { body.appendChild(item.row); });
  });
});
// Filtering: every word must occur somewhere in the row.
document.querySelectorAll("input[data-filters]").forEach(function (input) {
  var table = document.getElementById(input.getAttribute("data-filters"));
  var count = document.getElementById(input.getAttribute("data-count"));
  input.addEventListener("input", function () {
    var wanted = input.value.toLowerCase().split(/\s+/).filter(Boolean), shown = 0;
    Array.prototype.forEach.call(table.tBodies[0].rows, function (row) {
      var text = row.textContent.toLowerCase();
      var fits = wanted.every(function (word) { return text.indexOf(word) >= 0; });
      row.hidden = !fits;
      shown += fits ? 1 : 0;
    });
    count.textContent = shown + " of " + table.tBodies[0].rows.length + " rows";
  });
});
// Light and dark: follows the system until asked otherwise.
document.querySelectorAll("[data-do='theme']").forEach(function (button) {
  button.addEventListener("click", function () {
    var root = document.documentElement, now = root.getAttribute("data-theme");
    var dark = now ? now === "dark" : window.matchMedia("(prefers-color-scheme: dark)").matches;
    root.setAttribute("data-theme", dark ? "light" : "dark");
  });
});
document.querySelectorAll("[data-do='outlines']").forEach(function (button) {
  button.addEventListener("click", function () {
    var hidden = document.body.classList.toggle("no-outlines");
    button.setAttribute("aria-pressed", hidden ? "false" : "true");
  });
});
// The body turns: frame by frame, with the slider or the arrow keys on it.
document.querySelectorAll(".turn").forEach(function (turn) {
  var frames = turn.querySelectorAll("img"), slider = turn.querySelector("input");
  slider.addEventListener("input", function () {
    frames.forEach(function (frame, place) { frame.hidden = place !== Number(slider.value); });
  });
});
// On paper everything is open.
window.addEventListener("beforeprint", function () {
  document.querySelectorAll("details").forEach(function (part) { part.open = true; });
});
// The table of contents shows where one is.
if ("IntersectionObserver" in window) {
  var links = {};
  document.querySelectorAll("nav.toc a").forEach(function (link) { links[link.getAttribute("href").slice(1)] = link; });
  var watcher = new IntersectionObserver(function (entries) {
    entries.forEach(function (entry) {
      if (entry.isIntersecting) {
        Object.keys(links).forEach(function (id) { links[id].classList.toggle("here", id === entry.target.id); });
      }
    });
  }, { rootMargin: "-10% 0px -75% 0px" });
  document.querySelectorAll("main section[id]").forEach(function (section) { watcher.observe(section); });
}
