// The pictures of a group side by side. Cards are kept and written anew, and a key only writes: what the layout made of
// it is read once the frame comes.

import { DIFFERENT, OPEN } from "./groups.js";
import { broken, byId, day, fill, make, picture, SCREEN, size, THUMBNAIL, write } from "./format.js";

const CAPTION = 96; // pixels; less is never set aside for the words

export class Cards {
  // lens: zooms them. act: { keep, keepToo, select, more }, each called with a file's id; more without.
  constructor(lens, act) {
    this.box = byId("cards");
    [this.lens, this.act] = [lens, act];
    this.kept = [];
    this.shown = [];
    this.caption = CAPTION;
    this.more = make("li", { class: "rest" }, make("button", { type: "button", class: "more" }));
    this.more.addEventListener("click", () => this.act.more());
    new ResizeObserver(([{ contentRect }]) => {
      const gap = parseFloat(getComputedStyle(this.box).columnGap);
      this.room = { width: contentRect.width, height: contentRect.height, gap };
      this.arrange();
      this.soon();
    }).observe(this.box);
  }

  // Show these files; left: how many there are beyond them.
  show(files, left) {
    while (this.kept.length < files.length) this.kept.push(this.card());
    files.forEach((file, i) => {
      this.take(this.kept[i], file);
      this.kept[i].fit.style.transform = this.lens.transform;
    });
    const there = this.box.children, wanted = files.length + (left ? 1 : 0);
    if (this.away || this.shown.length !== files.length || there.length !== wanted) {
      this.box.replaceChildren(...this.kept.slice(0, files.length).map((card) => card.root), ...(left ? [this.more] : []));
      this.away = false;
    }
    if (left) write(this.more.firstChild, `Show more (${left.toLocaleString("en")} left)`);
    this.shown = this.kept.slice(0, files.length);
    this.files = files;
    this.arrange();
  }

  // Something else takes the place of the cards.
  leave(...instead) {
    this.box.replaceChildren(...instead);
    this.away = true;
    this.shown = [];
  }

  card() {
    const card = { file: null };
    const part = (name, tag = "p") => (card[name] = make(tag, { class: name.replace(/[A-Z]/g, (c) => `-${c.toLowerCase()}`) }));
    const button = (name, text, act, quiet = "") => {
      card[name] = make("button", { type: "button", class: `${name.replace(/[A-Z]/g, (c) => `-${c.toLowerCase()}`)}${quiet}` }, text);
      card[name].addEventListener("click", (event) => {
        // The next group will be in the same cards: Enter after a click of the mouse must not mean this button.
        if (event.detail) card[name].blur();
        act(card.file.id);
      });
      return card[name];
    };
    card.fit = make("span", { class: "fit" });
    card.pane = make("button", { type: "button", class: "pane" }, make("span", { class: "window" }, card.fit));
    this.lens.attach(card.pane, () => this.act.select(card.file.id));
    card.pane.addEventListener("dblclick", () => { if (this.lens.scale === 1) this.act.keep(card.file.id); });
    const words = ["fate", "name", "facts", "moreFacts", "folder", "reason"].map((name) => part(name));
    card.words = make("div", { class: "caption" }, ...words,
      make("div", { class: "card-actions" }, button("keepThis", "Keep this", this.act.keep), button("keepToo", "Keep too", this.act.keepToo, " quiet")));
    card.root = make("li", { class: "card" }, card.pane, card.words);
    return card;
  }

  // A card shows another file from now on.
  take(card, file) {
    if (card.file === file) return;
    card.file = file;
    card.root.dataset.file = file.id;
    show(card.fit, file);
    write(card.name, file.name);
    fill(card.folder, broken(file.place));
    card.folder.title = file.folder;
  }

  // Write the words. of(file): { tag: [word, kind], score, sharp, beside, why, chosen, kept, alone } of each.
  tell(of, state) {
    const { files } = this;
    const largest = Math.max(...files.map((file) => file.width * file.height)), heaviest = Math.max(...files.map((file) => file.bytes));
    const differ = (values) => new Set(values).size > 1;
    const sizes = differ(files.map((file) => file.width * file.height)), weights = differ(files.map((file) => file.bytes));
    const told = new Map(files.map((file) => [file, of(file)]));
    const sharps = [...told.values()].map(({ sharp }) => sharp).filter((value) => value !== null);
    const sharpest = Math.max(...sharps), sharply = sharps.length > 1 && differ(sharps);
    const best = (is, text) => (is ? ["b", { title: "The best of these" }, text] : text);
    for (const card of this.shown) {
      const { file } = card, { tag: [word, kind], score, sharp, beside, why, chosen, kept, alone } = told.get(file);
      const classes = `card ${kind}${chosen ? " selected" : ""}`;
      if (card.root.className !== classes) card.root.className = classes;
      fill(card.fate, [word && ["span", { class: `tag ${kind}` }, word], score && ["span", { class: "score" }, ["b", {}, score[0]], score[1]]]);
      fill(card.facts, [best(sizes && file.width * file.height === largest, `${file.width} × ${file.height}`), " · ",
        best(weights && file.bytes === heaviest, size(file.bytes)), ` · ${file.format}`]);
      fill(card.moreFacts, [day(file.date), sharp !== null && " · sharpness ", sharp !== null && best(sharply && sharp === sharpest, sharp.toFixed(2))]);
      write(card.reason, kind === "stay" && why ? why : beside.length ? `With it: ${beside.join(", ")}` : "");
      card.pane.setAttribute("aria-pressed", String(chosen));
      card.pane.setAttribute("aria-label", [file.name, `${file.width} by ${file.height} pixels`, size(file.bytes), file.format,
        word, score ? score.join("") : ""].filter(Boolean).join(", "));
      card.keepToo.hidden = state === OPEN || state === DIFFERENT || alone;
      write(card.keepToo, kept ? "Let go" : "Keep too");
      card.keepThis.setAttribute("aria-label", `Keep ${file.name}`);
      card.keepToo.setAttribute("aria-label", `${kept ? "Let go" : "Keep too"}: ${file.name}`);
    }
    this.soon();
  }

  // ---- their places

  // In the frame that is to come: room for the words as they are, and what was chosen in view.
  soon() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      if (!this.shown.length) return;
      const caption = Math.max(CAPTION, ...this.shown.map((card) => card.words.offsetHeight));
      if (caption !== this.caption) {
        this.caption = caption;
        this.arrange();
      }
      if (this.wanted !== undefined) this.box.querySelector(`[data-file="${this.wanted}"]`)?.scrollIntoView({ block: "nearest" });
      this.wanted = undefined;
    });
  }

  reveal(id) {
    this.wanted = id;
    this.soon();
  }

  // As many columns as let the pictures be largest.
  arrange() {
    if (!this.room?.width || !this.shown.length) return;
    const { width, height, gap } = this.room, shown = this.shown.length, { caption } = this;
    const narrow = width < 560, tall = tallest(this.files), least = narrow ? 130 : 150;
    let columns = 1, largest = 0;
    for (let n = narrow ? Math.min(2, shown) : 1; n <= Math.min(shown, narrow ? 2 : 6); n++) {
      const wide = (width - gap * (n - 1)) / n, rows = Math.ceil(shown / n);
      const high = Math.max(least, (height - gap * (rows - 1)) / rows - caption);
      const size = Math.min(wide, high / tall) * (wide < (narrow ? 140 : 190) ? 0.3 : 1);
      if (size > largest * 1.02) [columns, largest] = [n, size];
    }
    const rows = Math.ceil(shown / columns), wide = (width - gap * (columns - 1)) / columns;
    const room = Math.floor((height - gap * (rows - 1)) / rows - caption);
    const pane = `${Math.round(Math.max(least, Math.min(room, wide * tall + 16)))}px`;
    if (this.columns === columns && this.pane === pane) return;
    [this.columns, this.pane] = [columns, pane];
    this.box.style.setProperty("--columns", columns);
    this.box.style.setProperty("--pane", pane);
  }
}

// Show a file's picture: what is small at once, the rest when it is there.
export function show(fit, file) {
  const image = make("img", { alt: "", decoding: "async", draggable: "false", "data-content": file.content });
  fit.classList.remove("loaded", "broken");
  fit.style.backgroundImage = `url("${picture(file.content, THUMBNAIL)}")`;
  image.addEventListener("load", () => { if (image.parentNode === fit) fit.classList.add("loaded"); });
  image.addEventListener("error", () => { if (image.parentNode === fit) fit.classList.add("broken"); });
  image.src = picture(file.content, SCREEN);
  fit.replaceChildren(image);
}

// Height to width of the tallest of these pictures, within reason.
function tallest(files) {
  return Math.min(1.5, Math.max(0.4, ...files.map((file) => file.height / Math.max(1, file.width))));
}
