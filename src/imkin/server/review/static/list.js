// The list of groups: rows of one height, of which only those in view are in the document's tree.

import { OPEN, DIFFERENT, ALL } from "./groups.js";
import { byId, fill, make, near, picture, plural, size, THUMBNAIL } from "./format.js";

const ROW = 64; // pixels, as in review.css
const MARGIN = 6; // rows above and below the view
const MARKS = ["", "✓", "✓", "≠"];
const WORDS = ["", "decided", "all kept", "different"];

// What the browser was asked for is remembered: asking again would make it lay the page out within a key.
export class List {
  constructor(onPick) {
    this.box = byId("list");
    this.rows = byId("rows");
    this.order = [];
    this.current = -1;
    this.live = new Map();
    [this.top, this.view] = [0, 600];
    this.box.addEventListener("scroll", () => this.soon(), { passive: true });
    new ResizeObserver(([{ contentRect }]) => {
      this.view = contentRect.height || 600;
      this.render();
    }).observe(this.box);
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
    for (const row of this.live.values()) row.remove();
    this.live.clear();
    this.top = this.box.scrollTop;
    this.render();
  }

  // Mark the row at a place and bring it into view.
  mark(place) {
    this.live.get(this.current)?.setAttribute("aria-selected", "false");
    this.current = place;
    if (place < 0) return this.box.removeAttribute("aria-activedescendant");
    const at = place * ROW, { top, view } = this;
    if (at < top + ROW) this.top = Math.max(0, at - ROW);
    else if (at + 2 * ROW > top + view) this.top = Math.max(0, Math.min(at + 2 * ROW, this.order.length * ROW) - view);
    if (this.top !== top) this.box.scrollTop = this.top;
    this.render();
    this.live.get(place)?.setAttribute("aria-selected", "true");
    this.box.setAttribute("aria-activedescendant", `row-${place}`);
  }

  // Draw again the rows of groups that stand elsewhere now.
  refresh(changed) {
    for (const [place, row] of this.live) {
      if (changed.has(this.order[place])) this.write(row, place);
    }
  }

  soon() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      this.top = this.box.scrollTop;
      this.render();
    });
  }

  // Rows that left the view are the ones that come into it.
  render() {
    const from = Math.max(0, Math.floor(this.top / ROW) - MARGIN);
    const until = Math.min(this.order.length, Math.ceil((this.top + this.view) / ROW) + MARGIN);
    const free = [];
    for (const [place, row] of this.live) {
      if (place >= from && place < until) continue;
      this.live.delete(place);
      free.push(row);
    }
    for (let place = from; place < until; place++) {
      if (this.live.has(place)) continue;
      const row = free.pop() ?? this.rows.appendChild(blank());
      this.live.set(place, row);
      this.write(row, place);
    }
    for (const row of free) row.remove();
  }

  write(row, place) {
    const { groups } = this, group = this.order[place];
    const files = groups.files(group), keeper = groups.file.get(groups.keeper[group]);
    const state = groups.state[group], least = groups.least[group];
    const other = files.find((file) => file !== keeper && file.content !== keeper.content) ?? files.find((file) => file !== keeper);
    const equal = files.every((file) => file.content === files[0].content);
    const facts = [plural(files.length, "picture"), equal ? "identical files" : least === 1 ? "similarity 1" : files.length > 2 ? `from ${near(least)}` : near(least)];
    const won = groups.won[group];
    const note = state === OPEN || (state !== ALL && state !== DIFFERENT) ? (won ? size(won) : "") : WORDS[state];
    const [thumbs, words, right] = row.children;
    row.className = `row state-${state}`;
    row.id = `row-${place}`;
    row.dataset.place = place;
    row.style.transform = `translateY(${place * ROW}px)`;
    row.setAttribute("aria-selected", String(place === this.current));
    row.setAttribute("aria-posinset", place + 1);
    row.setAttribute("aria-setsize", this.order.length);
    fill(thumbs, [thumb(other ?? keeper), thumb(keeper)]);
    fill(words, [["b", {}, keeper.name], ["small", {}, facts.join(" · ")]]);
    fill(right, [note, state !== OPEN && ["i", { class: "mark", title: WORDS[state] }, MARKS[state]]]);
  }
}

function blank() {
  return make("div", { role: "option" }, make("span", { class: "thumbs", "aria-hidden": "true" }), make("span", { class: "words" }), make("span", { class: "note" }));
}

function thumb(file) {
  return ["img", { src: picture(file.content, THUMBNAIL), alt: "", width: 40, height: 40, loading: "lazy", decoding: "async" }];
}
