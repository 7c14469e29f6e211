"use strict";

// The rows of a plot say their numbers below it when the pointer or the keyboard is on one; choosing a row
// chooses its items.

/** @param plot with an SVG of core/plots.py, and an `output`.
 *  @param choose called with the name of a category, or null for all; none where nothing is to be chosen. */
function livePlot(plot, choose) {
  const said = plot.querySelector("output");
  const parts = [...plot.querySelectorAll(".part")];
  plot.querySelector("svg").setAttribute("role", "group"); // no longer one image
  for (const part of parts) {
    const numbers = part.querySelector("title").textContent;
    part.setAttribute("tabindex", "0");
    part.setAttribute("role", choose ? "button" : "img");
    part.setAttribute("aria-label", numbers);
    const say = () => { said.textContent = numbers; };
    part.addEventListener("pointerenter", say);
    part.addEventListener("focus", say);
    if (!choose) continue;
    const act = () => choose(part.classList.contains("category") ? part.dataset.name : null);
    part.addEventListener("click", act);
    part.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      act();
    });
  }
}
