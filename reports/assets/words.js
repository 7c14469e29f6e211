"use strict";

// Somebody else's text, such as a prediction: made visible, and marked where it differs from another.
// It only ever becomes the text of elements, never markup.

const LARGEST_EDIT = 1200; // words that two texts may differ in and still be aligned; keeps it quick
const FOLDED = 4000; // characters of a text that are shown before "show all"

/** A text with a name for each character that could hide something or turn a line around; lines and tabs
 *  stay. The same as core.text.visible_lines. */
function visibleLines(text) {
  return text.replace(/[\p{Cc}\p{Cf}\p{Cs}]/gu, (character) =>
    "\n\t\u200c\u200d".includes(character) ? character : `⟨U+${hexadecimal(character)}⟩`);
}

/** The same in one line. */
function visibleLine(text) {
  return visibleLines(text.split(/(?:(?!\ufeff)[\s\x1c-\x1f\x85])+/u).filter(Boolean).join(" "));
}

function hexadecimal(character) {
  return character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0");
}

/** Two texts as runs of words, each [text, whether the other text lacks it]; null where they differ in too
 *  much to be aligned. */
function differences(first, second) {
  const [before, after] = [words(first), words(second)];
  let start = 0;
  while (start < before.length && start < after.length && before[start] === after[start]) start++;
  let end = 0;
  while (end < before.length - start && end < after.length - start &&
         before[before.length - 1 - end] === after[after.length - 1 - end]) end++;
  const kept = matched(before.slice(start, before.length - end), after.slice(start, after.length - end));
  if (kept === null) return null;
  return [before, after].map((side, which) => {
    const same = new Set(kept.map((pair) => pair[which] + start));
    return joined(side, (place) => !(place < start || place >= side.length - end || same.has(place)));
  });
}

function words(text) {
  return text.match(/[\p{L}\p{N}\p{M}_]+|\s+|[^\p{L}\p{N}\p{M}_\s]/gu) ?? [];
}

/** Pairs of places of a longest common subsequence (Myers 1986, "An O(ND) difference algorithm"); null
 *  beyond LARGEST_EDIT. */
function matched(before, after) {
  const most = Math.min(before.length + after.length, LARGEST_EDIT);
  const offset = most + 1;
  const reach = new Int32Array(2 * offset + 1);
  const steps = [];
  for (let edits = 0; edits <= most; edits++) {
    for (let diagonal = -edits; diagonal <= edits; diagonal += 2) {
      const down = diagonal === -edits ||
        (diagonal !== edits && reach[offset + diagonal - 1] < reach[offset + diagonal + 1]);
      let x = down ? reach[offset + diagonal + 1] : reach[offset + diagonal - 1] + 1;
      while (x < before.length && x - diagonal < after.length && before[x] === after[x - diagonal]) x++;
      reach[offset + diagonal] = x;
      if (x >= before.length && x - diagonal >= after.length) return walkedBack(steps, before, after, edits, diagonal);
    }
    steps.push(reach.slice(offset - edits - 1, offset + edits + 2)); // what the next round reads
  }
  return null;
}

function walkedBack(steps, before, after, edits, diagonal) {
  const pairs = [];
  let x = before.length;
  for (; edits > 0; edits--) {
    const reach = steps[edits - 1];
    const at = (which) => reach[which + edits] ?? -1; // steps[n] begins at diagonal -n - 1
    const down = diagonal === -edits || (diagonal !== edits && at(diagonal - 1) < at(diagonal + 1));
    const from = down ? diagonal + 1 : diagonal - 1;
    const began = down ? at(from) : at(from) + 1;
    while (x > began) pairs.push([--x, x - diagonal]);
    x = at(from);
    diagonal = from;
  }
  while (x > 0) pairs.push([--x, x]);
  return pairs;
}

function joined(side, differs) {
  const parts = [];
  side.forEach((word, place) => {
    const last = parts.at(-1);
    if (last && last[1] === differs(place)) last[0] += word;
    else parts.push([word, differs(place)]);
  });
  return parts;
}

/** Put a text into an element, its differing words marked; a long one folds, and "show all" unfolds it.
 *  @param parts as `differences` gives them, or one part for a text that is not compared.
 *  @param kind `gone` or `new`: how what differs is marked. */
function showText(element, parts, kind) {
  const length = parts.reduce((sum, [text]) => sum + text.length, 0);
  fill(element, parts, kind, length > FOLDED ? FOLDED : Infinity);
  if (length === 0) element.append(made("span", { className: "empty" }, "(empty)"));
  if (length <= FOLDED) return;
  const button = made("button", { type: "button" }, `show all ${length.toLocaleString("en")} characters`);
  button.addEventListener("click", () => {
    fill(element, parts, kind, Infinity);
    button.remove();
  });
  element.after(button);
}

function fill(element, parts, kind, most) {
  element.replaceChildren();
  let left = most;
  for (const [text, differs] of parts) {
    if (left <= 0) break;
    const shown = visibleLines(text.slice(0, left));
    element.append(differs ? made("mark", { className: kind }, shown) : shown);
    left -= text.length;
  }
  if (left < 0) element.append(" …");
}

/** A number of things, as core.text.counted says it. */
function counted(number, what) {
  return `${number.toLocaleString("en")} ${what}${number === 1 ? "" : "s"}`;
}

/** An element with properties and children; children that are strings become text. */
function made(name, properties = {}, ...children) {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children);
  return element;
}
