"use strict";

// What served pages do beside being read: words that differ are marked, j and k go through the items, plots say
// their numbers. Everything is there without this.

for (const answers of document.querySelectorAll(".answers.two")) {
  const [first, second] = [".written.gone", ".written.new"].map((side) => answers.querySelector(side));
  if (answers.querySelector(".empty") || first.textContent === second.textContent) continue;
  const parts = differences(first.textContent, second.textContent);
  if (!parts) continue; // too different
  fill(first, parts[0], "gone", Infinity);
  fill(second, parts[1], "new", Infinity);
}

// choosing a category in a plot filters the items by it
const filter = document.getElementById("filter");
const chooseCategory = filter?.elements.category ? (name) => {
  filter.elements.category.value = name ?? "";
  filter.requestSubmit();
} : null;
for (const plot of document.querySelectorAll(".plot")) livePlot(plot, chooseCategory);

const items = [...document.querySelectorAll("article.item:not(.whole)")];

function step(by) {
  const link = document.querySelector(by > 0 ? "a[rel=next]" : "a[rel=prev]");
  const at = items.indexOf(document.activeElement?.closest("article.item"));
  const to = at < 0 && by < 0 ? -1 : at + by;
  if (items[to]) {
    items[to].focus();
    items[to].scrollIntoView();
  } else if (link && (items.length === 0 || at >= 0)) link.click();
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea")) return;
  if (event.key === "j") step(1);
  else if (event.key === "k") step(-1);
});

// a review without a mouse: 1 to 4 say a verdict, r and n go to the fields
const review = document.querySelector("section.review form");
if (review) {
  const fields = { r: review.elements.answers, n: review.elements.note };
  const verdicts = review.querySelectorAll("button[name=verdict]");
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && Object.values(fields).includes(event.target)) event.target.blur();
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea")) return;
    const chosen = verdicts[Number(event.key) - 1];
    if (chosen && !event.repeat) chosen.click();
    else if (fields[event.key]) {
      event.preventDefault();
      fields[event.key].focus();
    }
  });
}
