// The list of groups: rows of one height, of which only those in view are in the document's tree.

import { OPEN, DIFFERENT, ALL } from "./groups.js";
import { byId, make, near, picture, plural, size, THUMBNAIL } from "./format.js";

const ROW = 64; // pixels, as in review.css
const MARGIN = 6; // rows above and below the view
const MARKS = ["", "✓", "✓", "≠"];
const WORDS = ["", "decided", "all kept", "different"];

export class List {
  constructor(onPick) {
    this.box = byId("list");
    this.rows = byId("rows");
    this.order = [];
    this.current = -1;
    this.live = new Map();
    this.box.addEventListener("scroll", () => this.soon(), { passive: true });
    new ResizeObserver(() => this.render()).observe(this.box);
    this.rows.addEventListener("click", (event) => {
      const row = event.target.closest("[data-place]");
      if (row) onPick(Number(row.dataset.place));
    });
  }

  // groups: the model. order: the groups to show.
  show(groups, order) {
    this.groups = groups;
    this.order = order;
    this.current = -1;
    this.rows.style.height = `${order.length * ROW}px`;
    this.clear();
    this.render();
  }

  clear() {
    for (const row of this.live.values()) row.remove();
    this.live.clear();
  }

  // Mark the row at a place and bring it into view.
  mark(place) {
    const before = this.live.get(this.current);
    if (before) before.setAttribute("aria-selected", "false");
    this.current = place;
    if (place < 0) return this.box.removeAttribute("aria-activedescendant");
    const top = place * ROW, view = this.box.clientHeight;
    if (top < this.box.scrollTop + ROW) this.box.scrollTop = Math.max(0, top - ROW);
    else if (top + 2 * ROW > this.box.scrollTop + view) this.box.scrollTop = top + 2 * ROW - view;
    this.render();
    this.live.get(place)?.setAttribute("aria-selected", "true");
    this.box.setAttribute("aria-activedescendant", `row-${place}`);
  }

  // Draw again the rows of groups that stand elsewhere now.
  refresh(changed) {
    for (const [place, row] of this.live) {
      if (!changed.has(this.order[place])) continue;
      row.remove();
      this.live.delete(place);
    }
    this.render();
  }

  soon() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      this.render();
    });
  }

  render() {
    const top = this.box.scrollTop, view = this.box.clientHeight || 600;
    const from = Math.max(0, Math.floor(top / ROW) - MARGIN);
    const until = Math.min(this.order.length, Math.ceil((top + view) / ROW) + MARGIN);
    for (const [place, row] of this.live) {
      if (place < from || place >= until) {
        row.remove();
        this.live.delete(place);
      }
    }
    for (let place = from; place < until; place++) {
      if (!this.live.has(place)) {
        const row = this.row(place);
        this.live.set(place, row);
        this.rows.append(row);
      }
    }
  }

  row(place) {
    const { groups } = this, group = this.order[place];
    const files = groups.files(group), keeper = groups.file.get(groups.keeper[group]);
    const state = groups.state[group], least = groups.least[group];
    const other = files.find((file) => file !== keeper && file.content !== keeper.content) ?? files.find((file) => file !== keeper);
    const equal = files.every((file) => file.content === files[0].content);
    const facts = [plural(files.length, "picture"), equal ? "identical files" : least === 1 ? "similarity 1" : files.length > 2 ? `from ${near(least)}` : near(least)];
    const won = groups.won[group];
    const note = state === OPEN || (state !== ALL && state !== DIFFERENT) ? (won ? size(won) : "") : WORDS[state];
    const row = make("div", {
      class: `row state-${state}`, id: `row-${place}`, role: "option", "data-place": place,
      "aria-selected": place === this.current ? "true" : "false", "aria-posinset": place + 1, "aria-setsize": this.order.length,
    },
      make("span", { class: "thumbs", "aria-hidden": "true" }, thumb(other ?? keeper), thumb(keeper)),
      make("span", { class: "words" }, make("b", {}, keeper.name), make("small", {}, facts.join(" · "))),
      make("span", { class: "note" }, note, state === OPEN ? null : make("i", { class: "mark", title: WORDS[state] }, MARKS[state])));
    row.style.transform = `translateY(${place * ROW}px)`;
    return row;
  }
}

function thumb(file) {
  return make("img", { src: picture(file.content, THUMBNAIL), alt: "", width: 40, height: 40, loading: "lazy", decoding: "async" });
}
