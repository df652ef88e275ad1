// One group: its pictures side by side, over each other or as a difference, with what speaks for each.

import { ALL, DIFFERENT, OPEN } from "./groups.js";
import { get } from "./api.js";
import { Cards, show } from "./cards.js";
import { alike, byId, CLOSE, count, fill, later, make, near, picture, plural, SCREEN, size, THUMBNAIL, write } from "./format.js";
import { Lens } from "./lens.js";

const SHOWN = 24; // pictures of a group at first
const BLINK_MS = 700;

export class Stage {
  constructor({ keep, keepToo, select }) {
    this.details = new Map();
    this.sharp = new Map();
    this.mode = "side";
    this.act = { keep, keepToo, select };
    this.lens = new Lens((scale) => { if (scale > 2) this.sharpen(); });
    this.cards = new Cards(this.lens, { ...this.act, more: () => { this.opened += 96; this.draw(); } });
    this.still = matchMedia("(prefers-reduced-motion: reduce)");
  }

  // Show a group with one of its files selected; group −1 shows none.
  show(groups, group, selected = null) {
    const same = this.groups === groups && this.group === group;
    [this.groups, this.group] = [groups, group];
    if (!same) {
      this.lens.reset();
      this.opened = SHOWN;
    }
    clearInterval(this.timer);
    if (group < 0) return this.cards.leave();
    this.files = this.inOrder();
    this.selected = this.files.find((file) => file.id === selected) ?? this.files[0];
    this.draw();
    if (!this.known()) later(() => this.learn());
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

  // Whether all that can be said of the group was asked for.
  known() {
    return this.details.has(this.group) && this.files.slice(0, this.opened).every((file) => this.sharp.has(file.content));
  }

  async learn() {
    const { groups, group } = this;
    const gone = () => this.groups !== groups || this.group !== group;
    // Who goes through groups quickly has left it before it was painted.
    if (gone() || !(await this.fetch(group)) || gone()) return;
    const before = this.files.map((file) => file.id).join();
    const files = this.inOrder();
    if (files.map((file) => file.id).join() !== before) {
      // The rules that read the files suggest another keeper; who has chosen already keeps the choice.
      const first = this.selected === this.files[0] && !this.touched;
      this.files = files;
      if (first) this.selected = files[0];
    }
    this.draw();
    await this.measure(this.files.slice(0, this.opened));
    if (!gone()) this.facts();
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
    const files = this.groups.files(group).slice(0, 4);
    for (const file of files) new Image().src = picture(file.content, SCREEN);
    await this.fetch(group);
    await this.measure(files);
  }

  // How sharp these files are.
  async measure(files) {
    const missing = files.filter((file) => !this.sharp.has(file.content));
    if (!missing.length) return;
    try {
      const { sharpness } = await get(`/sharpness?files=${missing.map((file) => file.id).join()}`);
      missing.forEach((file, i) => this.sharp.set(file.content, sharpness[i]));
    } catch {
      // It is said of the others.
    }
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
    write(byId("group-title"), `Group ${count(group + 1)}`);
    const least = groups.least[group], most = groups.most[group];
    const facts = [plural(files.length, "picture")];
    facts.push(least === most ? `similarity ${near(least)}` : `similarity ${near(least)} to ${near(most)}`);
    if (groups.relation?.[group]?.length) facts.push(groups.relation[group].join(", "));
    write(byId("group-facts"), facts.join(" · "));
    fill(byId("why"), this.why(state));
    byId("odd").hidden = files.length < 3;
    byId("reopen").hidden = state === OPEN;
  }

  why(state) {
    const { groups, group } = this, keeper = this.files.find((file) => file.id === this.keeperId());
    const reason = this.detail(keeper)?.why, going = groups.going[group].length, kept = groups.kept[group].length;
    if (state === OPEN) return [["b", { class: "suggest" }, "Suggested"], ": keep ", ["b", {}, keeper.name], reason ? `, ${reason}` : ""];
    if (state === DIFFERENT) return [["b", {}, "Different"], ": you told these pictures apart. All of them stay."];
    if (state === ALL) return [["b", {}, "Decided"], ": all of them stay."];
    return [["b", {}, "Decided"], `: ${plural(kept, "picture stays", "pictures stay")}, ${going === 1 ? "one goes" : `${count(going)} go`}, ${size(groups.won[group])} to win.`];
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
    byId("cards").className = `cards ${this.mode}${this.lens.scale > 1 ? " zoomed" : ""}`;
    if (this.mode === "side") {
      const shown = this.files.slice(0, this.opened);
      this.cards.show(shown, this.files.length - shown.length);
      this.facts();
    } else this.drawOver();
    if (this.lens.scale > 1) this.lens.apply();
  }

  // The words under each picture, written anew whenever anything is learnt.
  facts() {
    if (this.mode !== "side" || this.group < 0) return;
    const { groups, group } = this, state = groups.state[group], kept = state === OPEN ? [] : groups.kept[group];
    this.cards.tell((file) => {
      const detail = this.detail(file), is = kept.includes(file.id);
      return {
        tag: this.fate(file), score: this.score(file), sharp: this.sharp.get(file.content) ?? null, beside: detail?.beside ?? [],
        why: detail?.why, chosen: file === this.selected, kept: is, alone: is && kept.length === 1,
      };
    }, state);
  }

  // Two pictures over each other: the keeper and the selected one, or the first other.
  pairShown() {
    const a = this.files[0], b = this.selected === a ? this.files[1] ?? a : this.selected;
    return [a, b];
  }

  drawOver() {
    const [a, b] = this.pairShown();
    const pane = make("button", { type: "button", class: "pane over" });
    const above = layer(b, "window upper");
    pane.append(layer(a, "window"), above);
    this.lens.attach(pane, () => this.mode === "blink" && this.flip());
    const tag = make("p", { class: "which", "aria-live": "off" });
    this.cards.leave(make("li", { class: "card wide" }, pane, tag), ...(this.files.length > 2 ? [this.strip()] : []));
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

  // Of a picture that is looked at closely, more pixels.
  sharpen() {
    for (const image of document.querySelectorAll(".fit img")) {
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
    if (this.mode !== "side") return this.draw();
    this.facts();
    this.cards.reveal(id);
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

function layer(file, name) {
  const fit = make("span", { class: "fit" });
  show(fit, file);
  return make("span", { class: name }, fit);
}
