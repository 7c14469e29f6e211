"use strict";

// The plot's rows say their numbers below it, when a pointer or the keyboard is on one.

for (const plot of document.querySelectorAll(".plot")) {
  const said = plot.querySelector("output");
  const say = (event) => {
    const row = event.target.closest("[data-numbers]");
    if (row) said.textContent = row.dataset.numbers;
  };
  plot.addEventListener("pointerover", say);
  plot.addEventListener("focusin", say);
}
