"use strict";

// One item with what each run wrote for it, as elements.

const KINDS = { worse: "bad", better: "good", wrong: "bad", right: "good", "cut off": "warn" };

/** How the last run did: got worse, got better or the same as the first; alone, right or wrong.
 *  @param scores one for each run. */
function outcome(scores) {
  const [first, last] = [scores[0], scores.at(-1)];
  if (scores.length === 1) return last >= 1 ? "right" : "wrong";
  return last < first ? "worse" : last > first ? "better" : "same";
}

/** What a person calls an outcome. */
function outcomeWords(name) {
  return name === "worse" || name === "better" ? `got ${name}` : name;
}

function badge(text, kind = KINDS[text] ?? "") {
  return made("span", { className: `badge ${kind}` }, text);
}

function percentage(score) {
  return `${Number((100 * score).toFixed(1))} %`;
}

/** Everything about an item.
 *  @param item as experiments.side_by_side.ItemAnswers: trace_id, category, band, asked, accepted, answers.
 *  @param runs role and run_id of each. */
function itemDetail(item, runs) {
  const scores = item.answers.map((answer) => answer.score);
  const facts = made("p", { className: "bar" }, badge(outcomeWords(outcome(scores)), KINDS[outcome(scores)]),
    made("span", {}, visibleLine(item.category)), item.band ? made("span", {}, visibleLine(item.band)) : "");
  return [facts, ...asked(item.asked), ...accepted(item.accepted), answers(item.answers, runs)];
}

/** The turns: the last one open, what came before it folded. */
function asked(turns) {
  const before = turns.slice(0, -1);
  const found = [];
  if (before.length) {
    const roles = [...new Set(before.map((turn) => turn.role))].map(visibleLine).join(", ");
    const folded = made("details", {}, made("summary", {}, `${counted(before.length, "turn")} before it (${roles})`));
    folded.addEventListener("toggle", () => {
      if (folded.open && folded.children.length === 1)
        before.forEach((turn) => folded.append(...titled("h4", visibleLine(turn.role), turn.content)));
    });
    found.push(folded);
  }
  return [...titled("h3", "Asked", turns.at(-1).content), ...found];
}

function accepted(right) {
  const title = right.length > 1 ? "Right answers" : "Right answer";
  return [made("h3", {}, title), ...right.map((each) => text([[each, false]], ""))];
}

function answers(all, runs) {
  const texts = all.map((answer) => answer.prediction);
  const compared = texts.length === 2 && texts[0] !== texts[1];
  const parts = compared ? differences(...texts) : null;
  const columns = all.map((answer, place) => {
    const { role, run_id } = runs[place];
    const column = made("section", {}, made("h3", {}, role === "run" ? "Answer" : capital(role)),
      verdict(answer), text(parts ? parts[place] : [[texts[place], false]], place ? "new" : "gone"),
      ...samples(answer.samples));
    column.setAttribute("aria-label", `${role} ${run_id}`);
    return column;
  });
  const found = made("div", { className: "answers" }, ...columns);
  const note = texts.length < 2 || parts ? "" : compared ? "Too different to be marked by word." : "Both wrote the same.";
  return made("div", {}, found, note ? made("p", { className: "muted" }, note) : "");
}

/** What the judge said of an answer, and where it found it. */
function verdict(answer) {
  const line = made("p", { className: "bar" }, badge(answer.score >= 1 ? "right" : answer.score > 0 ? percentage(answer.score) : "wrong",
    answer.score >= 1 ? "good" : "bad"));
  if (answer.cut_off) line.append(badge("cut off"));
  const found = answer.extracted === null ? "no answer was found"
    : `found ${shortened(visibleLine(answer.extracted))}${answer.rung ? ` (${visibleLine(answer.rung)})` : ""}`;
  line.append(made("span", {}, `${shortened(visibleLine(answer.reason))}: ${found}`));
  return line;
}

function samples(all) {
  if (!all) return [];
  const right = all.filter((sample) => sample.score >= 1).length;
  const folded = made("details", {}, made("summary", {}, `${right} of ${counted(all.length, "sample")} right: show all`));
  folded.addEventListener("toggle", () => {
    if (folded.open && folded.children.length === 1)
      all.forEach((sample) => folded.append(verdict(sample), text([[sample.prediction, false]], "")));
  });
  return [folded];
}

function titled(heading, title, content) {
  return [made(heading, {}, title), text([[content, false]], "")];
}

/** A text in a box of its own, with its "show all" behind it. */
function text(parts, kind) {
  const box = made("div", { className: "text", dir: "auto" });
  const whole = made("div", {}, box);
  showText(box, parts, kind);
  return whole;
}

function shortened(line) {
  return line.length > 200 ? `${line.slice(0, 200)} …` : line;
}

function capital(word) {
  return word[0].toUpperCase() + word.slice(1);
}
