"use strict";

// The items of a report: a list of which only a window is rendered, filters, keys and links. What is chosen
// stands behind the # of the address, so that a link opens the same. An address that chooses nothing opens
// with the items that got worse, of one run with those that are wrong; `#show=all` opens with all.
//
// Items come in chunks: the small facts of each (`script.index`) are read at once, the texts
// (`script.texts`) when they are needed.

const FIRST = ["worse", "wrong"]; // what a report opens with, where there are any
const ALL = "all";
const THAT = { worse: "that got worse", better: "that got better", same: "that stayed the same",
  wrong: "that is wrong", right: "that is right" };
const CHOICES = ["show", "category", "band", "before", "after", "cut", "text"]; // filters; `item` is the chosen one
const SLICE_MS = 40; // a search through texts lets the page breathe after so long

class Items {
  constructor(root, form) {
    this.root = root;
    this.form = form;
    this.list = root.querySelector(".list");
    this.rows = this.list.firstElementChild;
    this.detail = root.querySelector(".detail");
    this.count = document.getElementById("count");
    const about = JSON.parse(document.getElementById("about").textContent);
    this.runs = about.runs;
    this.lead = about.lead;
    this.chunks = [...document.querySelectorAll("script.texts")];
    this.texts = new Map();
    this.searched = new Map();
    this.all = [];
    document.querySelectorAll("script.index").forEach((script, chunk) => {
      JSON.parse(script.textContent).forEach(([id, category, band, scores, rungs, cut], within) =>
        this.all.push({ id, category, band, scores, rungs, cut, chunk, within, outcome: outcome(scores) }));
    });
    this.places = new Map(this.all.map((item, place) => [item.id, place]));
    this.found = [];
    this.current = null;
    this.offerChoices();
    this.listen();
  }

  // what may be chosen

  offerChoices() {
    const last = this.runs.length - 1;
    this.offer("category", (item) => item.category);
    this.offer("band", (item) => item.band);
    this.offer("before", (item) => last ? item.rungs[0] ?? "none" : null);
    this.offer("after", (item) => item.rungs[last] ?? "none");
    const cut = this.form.elements.cut;
    cut.closest("label").hidden = !this.all.some((item) => item.cut.some(Boolean));
    if (!this.all.some((item) => item.rungs.some(Boolean)))
      for (const name of ["before", "after"]) this.form.elements[name].closest("label").hidden = true;
    for (const button of this.form.querySelectorAll("button[name=show]")) {
      const number = this.all.filter((item) => button.value === ALL || item.outcome === button.value).length;
      button.append(` ${number.toLocaleString("en")}`);
    }
  }

  offer(name, value) {
    const counts = new Map();
    for (const item of this.all) {
      const found = value(item);
      if (found !== null) counts.set(found, (counts.get(found) ?? 0) + 1);
    }
    const select = this.form.elements[name];
    [...counts.keys()].sort().forEach((each) =>
      select.append(made("option", { value: each }, `${shortened(visibleLine(each))} (${counts.get(each).toLocaleString("en")})`)));
    select.closest("label").hidden = counts.size < 2;
  }

  // what is chosen

  /** Take what the address says. A place in the page, such as #scores, chooses nothing. */
  read() {
    const hash = location.hash.slice(1);
    const chooses = hash.includes("=");
    if (!chooses && hash && this.wanted) return false;
    const said = new URLSearchParams(chooses ? hash : "");
    this.wanted = Object.fromEntries([...CHOICES, "item"].map((name) => [name, said.get(name) ?? ""]));
    this.wanted.show ||= chooses ? ALL : this.opening();
    return chooses;
  }

  /** What a person wants to see first. */
  opening() {
    return FIRST.find((name) => this.all.some((item) => item.outcome === name)) ?? ALL;
  }

  go(changes, { push = false } = {}) {
    this.wanted = { ...this.wanted, ...changes };
    const kept = Object.entries(this.wanted).filter(([, value]) => value);
    try {
      history[push ? "pushState" : "replaceState"](null, "", `#${new URLSearchParams(kept)}`);
    } catch { /* a browser that lets addresses change only so often, as while j is held down */ }
    return this.show();
  }

  async show() {
    const wanted = this.wanted;
    for (const name of CHOICES.slice(1)) { // all but `show`, whose buttons come next
      const field = this.form.elements[name];
      if (field !== document.activeElement || name !== "text") field.value = wanted[name];
    }
    for (const button of this.form.querySelectorAll("button[name=show]"))
      button.setAttribute("aria-pressed", String(button.value === wanted.show));
    const turn = (this.turn = (this.turn ?? 0) + 1);
    const key = JSON.stringify(CHOICES.map((name) => wanted[name]));
    if (key !== this.key) {
      this.key = key;
      const found = await this.filtered(wanted, turn);
      if (found === null) return; // something else was chosen meanwhile
      this.found = found;
      this.list.scrollTop = 0;
      this.rows.style.height = `${this.found.length * this.rowHeight()}px`;
    }
    const all = counted(this.all.length, "item");
    this.count.textContent = this.found.length === this.all.length && this.all.length > 1 ? `All ${all}`
      : `${this.found.length.toLocaleString("en")} of ${all}`;
    this.open(wanted.item);
  }

  async filtered(wanted, turn) {
    const last = this.runs.length - 1;
    const isRung = (item, run, rung) => !rung || (item.rungs[run] ?? "none") === rung;
    const few = [];
    this.all.forEach((item, place) => {
      if ((wanted.show === ALL || item.outcome === wanted.show) &&
          (!wanted.category || item.category === wanted.category) &&
          (!wanted.band || item.band === wanted.band) &&
          isRung(item, 0, wanted.before) && isRung(item, last, wanted.after) &&
          isCut(item, wanted.cut)) few.push(place);
    });
    if (!wanted.text) return few;
    const text = wanted.text.toLowerCase();
    const found = [];
    let began = performance.now();
    for (const place of few) {
      if (this.searchable(place).includes(text)) found.push(place);
      if (performance.now() - began > SLICE_MS) {
        this.count.textContent = "searching …";
        await new Promise((resume) => setTimeout(resume));
        if (turn !== this.turn) {
          this.key = null;
          return null;
        }
        began = performance.now();
      }
    }
    return found;
  }

  // texts

  whole(place) {
    const { chunk, within } = this.all[place];
    if (!this.texts.has(chunk)) {
      if (this.texts.size > 50) this.texts.delete(this.texts.keys().next().value);
      this.texts.set(chunk, JSON.parse(this.chunks[chunk].textContent));
    }
    const { lead, asked, ...item } = this.texts.get(chunk)[within];
    return { ...item, asked: [...this.lead.slice(0, lead), ...asked] };
  }

  searchable(place) {
    const { chunk, within, id } = this.all[place];
    if (!this.searched.has(chunk)) {
      const texts = JSON.parse(this.chunks[chunk].textContent).map(({ asked, accepted, answers }) => [
        ...asked.map((turn) => turn.content), ...accepted,
        ...answers.flatMap(({ prediction, extracted, reason, samples }) =>
          [prediction, extracted ?? "", reason, ...(samples ?? []).map((sample) => sample.prediction)]),
      ].join("\n").toLowerCase());
      this.searched.set(chunk, texts);
    }
    const text = this.searched.get(chunk)[within];
    return `${id.toLowerCase()}\n${text}`;
  }

  readAhead() {
    const wait = window.requestIdleCallback ?? ((call) => setTimeout(call, 50));
    const next = (place) => {
      if (place >= Math.min(this.all.length, 10_000)) return;
      this.searchable(place);
      const after = this.all.findIndex((item) => item.chunk === this.all[place].chunk + 1);
      if (after > 0) wait(() => next(after));
    };
    wait(() => next(0));
  }

  // the list

  rowHeight() {
    if (!this.height) {
      const row = made("div", { className: "row" });
      this.rows.append(row);
      this.height = row.offsetHeight || 58;
      row.remove();
    }
    return this.height;
  }

  draw() {
    const height = this.rowHeight();
    const first = Math.max(0, Math.floor(this.list.scrollTop / height) - 5);
    const last = Math.min(this.found.length, first + Math.ceil(this.list.clientHeight / height) + 10);
    const rows = [];
    for (let at = first; at < last; at++) rows.push(this.row(at, height));
    this.rows.replaceChildren(...rows);
    const active = this.rows.querySelector("[aria-selected=true]");
    if (active) this.list.setAttribute("aria-activedescendant", active.id);
    else this.list.removeAttribute("aria-activedescendant");
  }

  row(at, height) {
    const place = this.found[at];
    const item = this.all[place];
    const scores = item.scores.map(percentage).join(" → ");
    const head = made("span", {}, badge(outcomeWords(item.outcome), KINDS[item.outcome]), ` ${scores} `,
      ...(item.cut.some(Boolean) ? [badge("cut off"), " "] : []), visibleLine(item.category));
    const question = visibleLine(this.whole(place).asked.at(-1).content.slice(0, 200));
    const row = made("div", { className: "row", id: `row-${place}`, role: "option" }, head,
      made("span", { className: "muted" }, question));
    row.style.top = `${at * height}px`;
    row.dataset.place = place;
    row.setAttribute("aria-selected", String(place === this.current));
    row.setAttribute("aria-setsize", this.found.length);
    row.setAttribute("aria-posinset", at + 1);
    return row;
  }

  reveal() {
    const at = this.found.indexOf(this.current);
    if (at < 0 || !this.list.clientHeight) return;
    const [top, height] = [at * this.rowHeight(), this.rowHeight()];
    if (top < this.list.scrollTop) this.list.scrollTop = top;
    else if (top + height > this.list.scrollTop + this.list.clientHeight)
      this.list.scrollTop = top + height - this.list.clientHeight;
  }

  // one item

  open(id) {
    const place = this.places.get(id) ?? null;
    this.root.classList.toggle("opened", place !== null || Boolean(id));
    if (place !== this.current || place === null) {
      this.current = place;
      if (id && place === null) this.detail.replaceChildren(this.bar(), made("p", {}, `There is no item ${shortened(visibleLine(id))} here.`));
      else if (place === null) this.detail.replaceChildren(made("p", { className: "muted" }, this.found.length ? "Choose an item, or press j." : this.nothing()));
      else this.detail.replaceChildren(this.bar(place), made("h2", { className: "id" }, visibleLine(id)), ...itemDetail({ ...this.whole(place), ...this.facts(place) }, this.runs));
    }
    this.reveal();
    this.draw();
  }

  nothing() {
    const { show } = this.wanted;
    return show in THAT ? `No item ${THAT[show]} is like that.` : "No item is like that.";
  }

  facts(place) {
    const { id, category, band, scores, rungs, cut } = this.all[place];
    const answers = this.whole(place).answers.map((answer, run) => (
      { ...answer, score: scores[run], rung: rungs[run], cut_off: Boolean(cut[run]) }));
    return { trace_id: id, category, band, answers };
  }

  bar(place = null) {
    const button = (label, act, className = "") => {
      const found = made("button", { type: "button", className }, label);
      found.addEventListener("click", act);
      return found;
    };
    const at = this.found.indexOf(place);
    const where = at < 0 ? "" : `${(at + 1).toLocaleString("en")} of ${this.found.length.toLocaleString("en")}`;
    const link = place === null ? "" : made("a", { href: `#${new URLSearchParams({ item: this.all[place].id })}` }, "link to this item");
    return made("div", { className: "bar" }, button("← list", () => this.go({ item: "" }), "back"),
      button("previous (k)", () => this.step(-1)), button("next (j)", () => this.step(1)),
      made("span", { className: "muted" }, where), link);
  }

  step(by) {
    if (!this.found.length) return;
    const at = this.found.indexOf(this.current);
    const to = at < 0 ? 0 : Math.max(0, Math.min(this.found.length - 1, at + by));
    this.go({ item: this.all[this.found[to]].id });
  }

  // what a person does

  /** Go where the address leads: to a place in the page, or to the items that it chooses. */
  async follow() {
    const chooses = this.read();
    await this.show();
    if (chooses) this.look();
  }

  /** Bring into view what was chosen: where there is room for one only, the item. */
  look() {
    const alone = this.current !== null && !this.list.clientHeight;
    (alone ? this.root : document.getElementById("items-title")).scrollIntoView();
  }

  /** Choose the category that a plot calls so; null chooses all items. */
  chooseNamed(name) {
    const options = [...this.form.elements.category.options].map((option) => option.value);
    const category = name === null ? "" : options.find((value) => visibleLine(value) === name) ?? "";
    location.hash = new URLSearchParams(category ? { category } : { show: ALL });
  }

  listen() {
    window.addEventListener("hashchange", () => this.follow());
    window.addEventListener("resize", () => this.draw());
    this.list.addEventListener("scroll", () => this.draw(), { passive: true });
    this.list.addEventListener("click", (event) => {
      const row = event.target.closest(".row");
      if (!row) return;
      this.go({ item: this.all[Number(row.dataset.place)].id }, { push: true });
      if (!this.list.clientHeight) this.look();
    });
    this.form.addEventListener("submit", (event) => event.preventDefault());
    this.form.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (button?.name === "show") this.go({ show: button.value, item: "" });
      else if (button?.name === "none") {
        this.form.elements.text.value = "";
        this.go({ ...Object.fromEntries(CHOICES.map((name) => [name, ""])), show: ALL });
      }
    });
    this.form.addEventListener("input", (event) => this.go({ [event.target.name]: event.target.value, item: "" }));
    document.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea")) return;
      const inList = event.target === this.list;
      if (event.key === "j" || (inList && event.key === "ArrowDown")) this.step(1);
      else if (event.key === "k" || (inList && event.key === "ArrowUp")) this.step(-1);
      else if (event.key === "Escape" && this.current !== null) this.go({ item: "" });
      else return;
      event.preventDefault();
    });
  }
}

function isCut(item, wanted) {
  if (!wanted) return true;
  if (wanted === "no") return !item.cut.some(Boolean);
  if (wanted === "baseline") return Boolean(item.cut[0]);
  if (wanted === "candidate") return Boolean(item.cut.at(-1));
  return item.cut.some(Boolean);
}

const browser = document.getElementById("browser");
if (browser) {
  browser.hidden = false; // without this script it is of no use
  const items = new Items(document.getElementById("items"), document.getElementById("filters"));
  items.follow();
  items.readAhead();
  for (const plot of document.querySelectorAll(".plot")) livePlot(plot, (name) => items.chooseNamed(name));
}
