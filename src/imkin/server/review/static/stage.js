// One group: its pictures side by side, over each other or as a difference, with what speaks for each.

import { ALL, DIFFERENT, OPEN } from "./groups.js";
import { get } from "./api.js";
import { alike, broken, byId, CLOSE, count, day, make, near, picture, plural, SCREEN, size, THUMBNAIL } from "./format.js";
import { Lens } from "./lens.js";

const SHOWN = 24; // pictures of a group at first
const BLINK_MS = 700;

export class Stage {
  constructor({ keep, keepToo, select }) {
    this.cards = byId("cards");
    this.details = new Map();
    this.sharp = new Map();
    this.mode = "side";
    this.act = { keep, keepToo, select };
    this.lens = new Lens((scale) => { if (scale > 2) this.sharpen(); });
    this.still = matchMedia("(prefers-reduced-motion: reduce)");
    new ResizeObserver(() => this.arrange()).observe(this.cards);
  }

  // Show a group with one of its files selected; group −1 shows none.
  show(groups, group, selected = null) {
    const same = this.groups === groups && this.group === group;
    [this.groups, this.group] = [groups, group];
    if (!same) {
      this.lens.reset();
      this.opened = SHOWN;
    }
    if (group < 0) return this.cards.replaceChildren();
    this.files = this.inOrder();
    this.selected = this.files.find((file) => file.id === selected) ?? this.files[0];
    this.draw();
    this.learn();
  }

  // The keeper first, as the report has it.
  inOrder() {
    const keeper = this.keeperId();
    const files = this.groups.files(this.group);
    return [...files.filter((file) => file.id === keeper), ...files.filter((file) => file.id !== keeper)];
  }

  keeperId() {
    return this.details.get(this.group)?.keeper ?? this.groups.keeper[this.group];
  }

  forget(changed) {
    for (const group of changed) this.details.delete(group);
  }

  forgetAll() {
    this.details.clear();
  }

  async learn() {
    const { groups, group } = this;
    const detail = await this.fetch(group);
    if (!detail || this.groups !== groups || this.group !== group) return;
    const before = this.files.map((file) => file.id).join();
    const files = this.inOrder();
    if (files.map((file) => file.id).join() !== before) {
      // The rules that read the files suggest another keeper; who has chosen already keeps the choice.
      const first = this.selected === this.files[0] && !this.touched;
      this.files = files;
      if (first) this.selected = files[0];
    }
    this.draw();
    this.measure();
  }

  async fetch(group) {
    if (!this.details.has(group)) {
      try {
        this.details.set(group, await get(`/groups/${group}?revision=${this.groups.revision}`));
      } catch {
        return null; // the page learns of a regrouping when it decides
      }
    }
    return this.details.get(group);
  }

  // What is asked for next, so that it is there when it is.
  async ahead(group) {
    if (group === undefined || group < 0 || this.details.has(group)) return;
    for (const file of this.groups.files(group).slice(0, 4)) new Image().src = picture(file.content, SCREEN);
    await this.fetch(group);
  }

  async measure() {
    const { group } = this;
    const missing = this.files.slice(0, this.opened).filter((file) => !this.sharp.has(file.content));
    if (missing.length) {
      try {
        const values = await get(`/sharpness?files=${missing.map((file) => file.id).join()}`);
        missing.forEach((file, i) => this.sharp.set(file.content, values.sharpness[i]));
      } catch {
        return;
      }
    }
    if (this.group !== group) return;
    this.facts();
    this.arrange();
  }

  // ---- words

  detail(file) {
    return this.details.get(this.group)?.members.find((member) => member.id === file.id);
  }

  pair(a, b) {
    return this.details.get(this.group)?.pairs.find(([x, y]) => (x === a && y === b) || (x === b && y === a));
  }

  // [word, kind] of what would happen to a file.
  fate(file) {
    const { groups, group } = this, state = groups.state[group];
    const does = this.detail(file)?.do;
    if (state === DIFFERENT) return ["Different, stays", "stay"];
    if (state === OPEN) {
      if (file.id === this.keeperId()) return ["Suggested", "suggested"];
      if (does === "keep") return ["Stays", "stay"];
      return does === "leave" ? ["Stays", "stay"] : ["", ""];
    }
    if (groups.kept[group].includes(file.id)) return [does === "leave" || this.detail(file)?.fixed ? "Stays" : "Keep", "keep"];
    return does === "leave" ? ["Stays", "stay"] : ["Goes", "go"];
  }

  head() {
    const { groups, group } = this, state = groups.state[group], files = this.files;
    byId("group-title").textContent = `Group ${count(group + 1)}`;
    const least = groups.least[group], most = groups.most[group];
    const facts = [plural(files.length, "picture")];
    facts.push(least === most ? `similarity ${near(least)}` : `similarity ${near(least)} to ${near(most)}`);
    if (groups.relation?.[group]?.length) facts.push(groups.relation[group].join(", "));
    byId("group-facts").textContent = facts.join(" · ");
    const why = byId("why"), detail = this.details.get(group);
    const keeper = files.find((file) => file.id === this.keeperId());
    const reason = detail?.members.find((member) => member.id === keeper.id)?.why;
    const going = groups.going[group].length;
    if (state === OPEN) {
      why.replaceChildren(make("b", { class: "suggest" }, "Suggested"), ": keep ", make("b", {}, keeper.name), reason ? `, ${reason}` : "");
    } else if (state === DIFFERENT) {
      why.replaceChildren(make("b", {}, "Different"), ": you told these pictures apart. All of them stay.");
    } else if (state === ALL) {
      why.replaceChildren(make("b", {}, "Decided"), ": all of them stay.");
    } else {
      const kept = groups.kept[group].length;
      why.replaceChildren(make("b", {}, "Decided"), `: ${plural(kept, "picture stays", "pictures stay")}, ${going === 1 ? "one goes" : `${count(going)} go`}, ${size(groups.won[group])} to win.`);
    }
    byId("odd").hidden = files.length < 3;
    byId("reopen").hidden = state === OPEN;
  }

  score(file) {
    const keeper = this.keeperId();
    if (file.id === keeper || !this.details.has(this.group)) return null;
    const pair = this.pair(file.id, keeper), kept = this.files.find((other) => other.id === keeper);
    if (pair?.[3] === "different") return ["different, you said", ""];
    if (file.content === kept.content) return ["Identical file", ""];
    if (!pair || pair[2] === null) return ["not directly like it", ""];
    return [alike(pair[2]), `${pair[4] ? `, ${pair[4]},` : ""} to the ${this.groups.state[this.group] === OPEN ? "suggested" : "kept"} one`];
  }

  // ---- drawing

  draw() {
    this.head();
    clearInterval(this.timer);
    this.cards.className = `cards ${this.mode}${this.lens.scale > 1 ? " zoomed" : ""}`;
    if (this.mode === "side") this.drawSide();
    else this.drawOver();
    this.facts();
    this.arrange();
    this.lens.apply();
  }

  drawSide() {
    const shown = this.files.slice(0, this.opened);
    const wanted = shown.map((file) => file.id).join();
    const there = [...this.cards.children].map((card) => card.dataset.file).join();
    if (there === wanted && this.drawn === this.groups) return;
    this.drawn = this.groups;
    this.cards.replaceChildren(...shown.map((file) => this.card(file)));
    if (shown.length < this.files.length) {
      const more = make("button", { type: "button", class: "more" }, `Show more (${count(this.files.length - shown.length)} left)`);
      more.addEventListener("click", () => { this.opened += 96; this.draw(); });
      this.cards.append(make("li", { class: "rest" }, more));
    }
  }

  card(file) {
    const pane = make("button", { type: "button", class: "pane" }, this.image(file));
    this.lens.attach(pane, () => this.act.select(file.id));
    pane.addEventListener("dblclick", () => { if (this.lens.scale === 1) this.act.keep(file.id); });
    const keep = make("button", { type: "button", class: "keep-this" }, "Keep this");
    keep.addEventListener("click", () => this.act.keep(file.id));
    const too = make("button", { type: "button", class: "keep-too quiet" }, "Keep too");
    too.addEventListener("click", () => this.act.keepToo(file.id));
    return make("li", { class: "card", "data-file": file.id }, pane,
      make("div", { class: "caption" },
        make("p", { class: "fate" }), make("p", { class: "name" }, file.name),
        make("p", { class: "facts" }), make("p", { class: "more-facts" }), make("p", { class: "folder", title: file.folder }, ...broken(file.place)),
        make("p", { class: "reason" }), make("div", { class: "card-actions" }, keep, too)));
  }

  image(file, extra = "") {
    const fit = make("span", { class: `fit ${extra}` });
    const image = make("img", { alt: "", decoding: "async", draggable: "false" });
    fit.style.backgroundImage = `url("${picture(file.content, THUMBNAIL)}")`;
    image.addEventListener("load", () => fit.classList.add("loaded"));
    image.addEventListener("error", () => fit.classList.add("broken"));
    image.src = picture(file.content, SCREEN);
    image.dataset.content = file.content;
    fit.append(image);
    return make("span", { class: "window" }, fit);
  }

  // Two pictures over each other: the keeper and the selected one, or the first other.
  pairShown() {
    const a = this.files[0], b = this.selected === a ? this.files[1] ?? a : this.selected;
    return [a, b];
  }

  drawOver() {
    const [a, b] = this.pairShown();
    const pane = make("button", { type: "button", class: "pane over" });
    const below = this.image(a), above = this.image(b, "above");
    above.className = "window upper";
    pane.append(below, above);
    this.lens.attach(pane, () => this.mode === "blink" && this.flip());
    const tag = make("p", { class: "which", "aria-live": "off" });
    this.cards.replaceChildren(make("li", { class: "card wide", "data-file": "" }, pane, tag),
      ...(this.files.length > 2 ? [this.strip()] : []));
    this.drawn = null;
    pane.setAttribute("aria-label", this.mode === "blink"
      ? `${a.name} and ${b.name} in turn` : `Where ${a.name} and ${b.name} differ: black is equal`);
    if (this.mode === "difference") {
      tag.replaceChildren("Black is where ", make("b", {}, a.name), " and ", make("b", {}, b.name), " are equal; made four times as bright");
      return;
    }
    this.upper = true;
    this.flip = () => {
      this.upper = !this.upper;
      above.hidden = !this.upper;
      const file = this.upper ? b : a;
      tag.replaceChildren(make("b", {}, file.name), ` · ${count(file.width)} × ${count(file.height)} · ${size(file.bytes)} · ${file.format}`);
    };
    this.flip();
    if (this.still.matches) tag.append(" · click to change");
    else this.timer = setInterval(() => this.flip(), BLINK_MS);
  }

  strip() {
    const list = make("div", { class: "strip", role: "group", "aria-label": "Compare with" });
    for (const file of this.files.slice(0, this.opened)) {
      const button = make("button", { type: "button", "aria-pressed": String(file === this.selected), "aria-label": file.name, title: file.name },
        make("img", { src: picture(file.content, THUMBNAIL), alt: "" }));
      button.addEventListener("click", () => this.act.select(file.id));
      list.append(button);
    }
    return make("li", { class: "rest" }, list);
  }

  // The words under each picture; cheap, so they are written anew whenever anything is learnt.
  facts() {
    if (this.mode !== "side" || this.group < 0) return;
    const files = this.files.slice(0, this.opened);
    const largest = Math.max(...files.map((file) => file.width * file.height));
    const heaviest = Math.max(...files.map((file) => file.bytes));
    const sharps = files.map((file) => this.sharp.get(file.content)).filter((value) => value !== undefined && value !== null);
    const sharpest = Math.max(...sharps);
    const differ = (values) => new Set(values).size > 1;
    const sizes = differ(files.map((file) => file.width * file.height)), weights = differ(files.map((file) => file.bytes));
    const state = this.groups.state[this.group];
    for (const card of this.cards.querySelectorAll(".card[data-file]")) {
      const file = this.groups.file.get(Number(card.dataset.file));
      if (!file) continue;
      const [word, kind] = this.fate(file), detail = this.detail(file), score = this.score(file);
      const chosen = file === this.selected;
      card.className = `card ${kind}${chosen ? " selected" : ""}`;
      const best = (is, text) => (is ? make("b", { title: "The best of these" }, text) : text);
      const put = (name, ...parts) => card.querySelector(`.${name}`).replaceChildren(...parts);
      put("fate", ...(word ? [make("span", { class: `tag ${kind}` }, word)] : []),
        ...(score ? [make("span", { class: "score" }, make("b", {}, score[0]), score[1])] : []));
      put("facts", best(sizes && file.width * file.height === largest, `${file.width} × ${file.height}`), " · ",
        best(weights && file.bytes === heaviest, size(file.bytes)), ` · ${file.format}`);
      const sharp = this.sharp.get(file.content);
      put("more-facts", day(file.date), ...(sharp === undefined || sharp === null ? [] :
        [" · sharpness ", best(sharps.length > 1 && sharp === sharpest && differ(sharps), sharp.toFixed(2))]));
      const beside = detail?.beside.length ? `With it: ${detail.beside.join(", ")}` : "";
      put("reason", kind === "stay" && detail?.why ? detail.why : beside);
      const pane = card.querySelector(".pane");
      pane.setAttribute("aria-pressed", String(chosen));
      pane.setAttribute("aria-label", [file.name, `${file.width} by ${file.height} pixels`, size(file.bytes), file.format,
        word, score ? score.join("") : ""].filter(Boolean).join(", "));
      const kept = state !== OPEN && this.groups.kept[this.group].includes(file.id);
      const too = card.querySelector(".keep-too");
      too.hidden = state === OPEN || state === DIFFERENT || (kept && this.groups.kept[this.group].length === 1);
      too.textContent = kept ? "Let go" : "Keep too";
      card.querySelector(".keep-this").setAttribute("aria-label", `Keep ${file.name}`);
      too.setAttribute("aria-label", `${too.textContent}: ${file.name}`);
    }
  }

  // As many columns as let the pictures be largest.
  arrange() {
    if (this.mode !== "side" || !this.files || this.group < 0) return;
    const files = this.files.slice(0, this.opened), shown = files.length;
    const style = getComputedStyle(this.cards);
    const width = this.cards.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
    const height = this.cards.clientHeight - parseFloat(style.paddingTop) - parseFloat(style.paddingBottom);
    if (width <= 0) return;
    const caption = Math.max(96, ...[...this.cards.querySelectorAll(".caption")].map((each) => each.offsetHeight));
    const gap = parseFloat(style.columnGap), narrow = width < 560, tall = tallest(files);
    let columns = 1, largest = 0;
    for (let n = narrow ? Math.min(2, shown) : 1; n <= Math.min(shown, narrow ? 2 : 6); n++) {
      const wide = (width - gap * (n - 1)) / n, rows = Math.ceil(shown / n);
      const high = Math.max(narrow ? 130 : 150, (height - gap * (rows - 1)) / rows - caption);
      const size = Math.min(wide, high / tall) * (wide < (narrow ? 140 : 190) ? 0.3 : 1);
      if (size > largest * 1.02) [columns, largest] = [n, size];
    }
    const rows = Math.ceil(shown / columns), wide = (width - gap * (columns - 1)) / columns;
    const room = Math.floor((height - gap * (rows - 1)) / rows - caption);
    this.cards.style.setProperty("--columns", columns);
    this.cards.style.setProperty("--pane", `${Math.round(Math.max(narrow ? 130 : 150, Math.min(room, wide * tall + 16)))}px`);
  }

  // Of a picture that is looked at closely, more pixels.
  sharpen() {
    for (const image of this.cards.querySelectorAll(".fit img")) {
      const close = picture(image.dataset.content, CLOSE);
      if (image.getAttribute("src") === close) continue;
      const larger = new Image();
      larger.addEventListener("load", () => { image.src = close; }, { once: true });
      larger.src = close;
    }
  }

  choose(id) {
    this.selected = this.files.find((file) => file.id === id) ?? this.selected;
    this.touched = true;
    if (this.mode === "side") this.facts();
    else this.draw();
    this.cards.querySelector(`[data-file="${id}"]`)?.scrollIntoView({ block: "nearest" });
  }

  // The file before or after the selected one.
  beside(by) {
    const at = this.files.indexOf(this.selected);
    return this.files[(at + by + this.files.length) % this.files.length];
  }

  setMode(mode) {
    this.mode = mode;
    if (this.group >= 0 && this.files) this.draw();
  }
}

// Height to width of the tallest of these pictures, within reason.
function tallest(files) {
  return Math.min(1.5, Math.max(0.4, ...files.map((file) => file.height / Math.max(1, file.width))));
}
