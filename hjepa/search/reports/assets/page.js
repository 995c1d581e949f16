"use strict";
// A click on a column's head sorts its table: numbers by value, then by name; empty cells last.
for (const button of document.querySelectorAll("th button")) {
  button.addEventListener("click", () => {
    const head = button.parentElement;
    const falling = head.getAttribute("aria-sort") === "ascending";
    const body = head.closest("table").tBodies[0];
    const text = (row) => row.cells[head.cellIndex].textContent.trim();
    const number = (row) => parseFloat(text(row).replace(/^[<±]/, ""));
    const order = (a, b) => {
      if (text(a) === "" || text(b) === "") return (text(a) === "") - (text(b) === "");
      const [x, y] = [number(a), number(b)];
      const found = Number.isNaN(x) || Number.isNaN(y) ? text(a).localeCompare(text(b)) : x - y;
      return falling ? -found : found;
    };
    for (const other of head.parentElement.cells) other.setAttribute("aria-sort", "none");
    head.setAttribute("aria-sort", falling ? "descending" : "ascending");
    body.append(...[...body.rows].sort(order));
  });
}
// Paper shows what is folded on the screen.
addEventListener("beforeprint", () => {
  for (const each of document.querySelectorAll("details:not([open])")) each.open = each.dataset.paper = true;
});
addEventListener("afterprint", () => {
  for (const each of document.querySelectorAll("details[data-paper]")) {
    each.open = false;
    delete each.dataset.paper;
  }
});
