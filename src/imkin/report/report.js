"use strict";
// Shows the groups in view and no others. Data stands in inert JSON blocks, parsed when a group of theirs is shown.
(() => {
  const list = document.getElementById("groups");
  const byId = (id) => document.getElementById(id);
  const make = (tag, className, text) => {
    const element = document.createElement(tag);
    if (className) element.className = className;
    if (text !== undefined) element.textContent = text;
    return element;
  };
  const number = new Intl.NumberFormat("en");
  const plural = (count, noun) => `${number.format(count)} ${noun}${count === 1 ? "" : "s"}`;
  const size = (bytes) => {
    let value = bytes, unit = "bytes";
    for (const larger of ["KB", "MB", "GB", "TB"]) {
      if (value < 999.5) break;
      [value, unit] = [value / 1000, larger];
    }
    return `${unit === "bytes" || value >= 9.95 ? value.toFixed(0) : value.toFixed(1)} ${unit}`;
  };
  const alike = (value) => (value === 1 ? "1" : value.toFixed(4));
  // A path breaks after its separators first.
  const broken = (path) => path.split(/(?<=[/\\])/).flatMap((part, i) => (i ? [document.createElement("wbr"), part] : [part]));

  for (const details of document.querySelectorAll("details[data-list]")) {
    details.addEventListener("toggle", () => fillList(details), { once: true });
  }
  function fillList(details) {
    const rows = JSON.parse(byId(details.dataset.list).textContent);
    const target = details.querySelector("ul");
    let done = 0;
    const button = make("button", "more");
    button.type = "button";
    const more = () => {
      for (const [path, reason] of rows.slice(done, done + 500)) {
        const item = target.appendChild(make("li", "", path));
        if (reason) item.append(make("span", "", reason));
      }
      done = Math.min(done + 500, rows.length);
      button.textContent = `Show more (${number.format(rows.length - done)} left)`;
      if (done === rows.length) button.remove();
    };
    button.addEventListener("click", more);
    details.append(button);
    more();
  }
  if (!list) return;

  // ---- data
  class Blocks {
    constructor(kind, keep) {
      this.scripts = [...document.querySelectorAll(`script.${kind}`)];
      this.firsts = this.scripts.map((script) => Number(script.dataset.first));
      this.keep = keep;
      this.parsed = new Map();
    }
    of(group) {
      const block = last(this.firsts, group);
      let values = this.parsed.get(block);
      if (values === undefined) {
        values = JSON.parse(this.scripts[block].textContent);
        if (this.parsed.size >= this.keep) this.parsed.delete(this.parsed.keys().next().value);
        this.parsed.set(block, values);
      }
      return values[group - this.firsts[block]];
    }
  }
  // The last place of a rising list whose value is not over the one sought; 0 if there is none.
  function last(values, sought, count = values.length) {
    let low = 0, high = count - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (values[middle] <= sought) low = middle; else high = middle - 1;
    }
    return low;
  }
  const words = new Blocks("groups", Infinity);
  const pictures = new Blocks("thumbnails", 24);
  const [counts, least, won] = JSON.parse(byId("index").textContent);
  const total = counts.length;

  // ---- one group
  const SHOWN = 24;
  const opened = new Map();
  function member([path, url, width, height, bytes, similarity, flags, place, relation], first, images) {
    const item = make("li", first ? "keeper" : "");
    const cut = Math.max(path.lastIndexOf("/"), path.lastIndexOf("\\")) + 1;
    const link = item.appendChild(make("a", "frame"));
    Object.assign(link, { href: url, target: "_blank", rel: "noopener noreferrer", title: `Open ${path}` });
    if (place < 0) link.append(make("span", "", "no preview"));
    else {
      const image = link.appendChild(new Image());
      Object.assign(image, { alt: `Open ${path.slice(cut)}`, decoding: "async", loading: "lazy" });
      image.src = `data:image/jpeg;base64,${images[place]}`;
    }
    const score = item.appendChild(make("p", "score"));
    if (first) score.append(make("span", "tag", "Keep"));
    else if (similarity === null) score.append(make("small", "", "not directly like the kept one, stays"));
    else {
      const rest = flags & 1 ? "" : ", stays";
      if (flags & 2) score.append("identical file", make("small", "", rest));
      else score.append(alike(similarity), make("small", "", ` to the kept one${rest}${relation && `; ${relation}`}`));
    }
    item.append(make("p", "name", path.slice(cut)));
    const facts = item.appendChild(make("p", "facts", `${width} × ${height}, ${size(bytes)}`));
    facts.title = `${number.format(bytes)} bytes`;
    if (cut) item.appendChild(make("p", "folder")).append(...broken(path.slice(0, cut)));
    return item;
  }
  function article(group, position) {
    const [reason, rows] = words.of(group);
    const images = pictures.of(group);
    const whole = make("article");
    whole.id = `g${group + 1}`;
    whole.tabIndex = -1;
    whole.setAttribute("aria-posinset", position + 1);
    whole.setAttribute("aria-setsize", order.length);
    whole.setAttribute("aria-labelledby", `h${group + 1}`);
    const head = whole.appendChild(make("div", "head"));
    const heading = head.appendChild(make("h2"));
    heading.id = `h${group + 1}`;
    const anchor = heading.appendChild(make("a", "", `Group ${number.format(group + 1)}`));
    anchor.href = `#g${group + 1}`;
    const facts = [plural(rows.length, "image"),
      `similarity ${least[group] < 1 && rows.length > 2 ? "from " : ""}${alike(least[group])}`];
    if (won[group]) facts.push(`${size(won[group])} to win`);
    head.append(make("p", "", facts.join(" · ")));
    if (reason) {
      const why = whole.appendChild(make("p", "why"));
      why.append(make("b", "", "Keep"), `: ${reason}`);
    }
    const members = whole.appendChild(make("ul", "members"));
    const open = Math.min(opened.get(group) ?? SHOWN, rows.length);
    for (let i = 0; i < open; i++) members.append(member(rows[i], i === 0, images));
    if (open < rows.length) {
      const more = whole.appendChild(make("button", "more", `Show more (${number.format(rows.length - open)} left)`));
      more.type = "button";
      more.addEventListener("click", () => {
        opened.set(group, open + 96);
        drop(position);
        render();
      });
    }
    return whole;
  }

  // ---- which groups, in which order
  const MOST = 20000; // browsers lose count of pixels between 17 and 33 million
  let order = [], matching = total;
  const keys = {
    found: null,
    won: (a, b) => won[b] - won[a] || a - b,
    count: (a, b) => counts[b] - counts[a] || a - b,
    alike: (a, b) => least[b] - least[a] || a - b,
    unlike: (a, b) => least[a] - least[b] || a - b,
  };
  const haystacks = [];
  function haystack(group) {
    return (haystacks[group] ??= words.of(group)[1].map((row) => row[0]).join("\n").toLowerCase());
  }
  function choose() {
    const terms = byId("search").value.toLowerCase().split(/\s+/).filter(Boolean);
    const all = [];
    for (let group = 0; group < total; group++) {
      if (terms.every((term) => haystack(group).includes(term))) all.push(group);
    }
    const key = keys[byId("sort").value];
    if (key) all.sort(key);
    matching = all.length;
    order = all.slice(0, MOST);
    const empty = byId("empty");
    empty.hidden = matching > 0 && matching <= MOST;
    empty.textContent = matching
      ? `The first ${number.format(MOST)} of ${number.format(matching)} groups are shown. Search to see the others.`
      : "No group has these words in a name or folder.";
    clear();
    layOut();
    if (list.getBoundingClientRect().top < barHeight()) scrollTo(0, listTop() - barHeight());
    render();
  }

  // ---- where each group stands. heights: measured once shown, estimated before
  const heights = new Float64Array(total);
  let tops = new Float64Array(1), columns = 0;
  const live = new Map();
  const listTop = () => list.getBoundingClientRect().top + scrollY;
  const barHeight = () => document.querySelector(".bar").offsetHeight;
  function estimate(group) {
    const rows = Math.ceil(Math.min(counts[group], opened.get(group) ?? SHOWN) / columns);
    return 135 + rows * (list.clientWidth / columns > 200 ? 265 : 240);
  }
  function layOut() {
    document.documentElement.style.scrollPaddingTop = `${barHeight()}px`; // for addresses such as #g12
    columns = Math.max(1, Math.floor((list.clientWidth + 16) / (innerWidth > 640 ? 192 : 148)));
    tops = new Float64Array(order.length + 1);
    for (let i = 0; i < order.length; i++) {
      tops[i + 1] = tops[i] + (heights[order[i]] || estimate(order[i]));
    }
    list.style.height = `${tops[order.length]}px`;
  }
  function drop(position) {
    live.get(position)?.remove();
    live.delete(position);
  }
  function clear() {
    for (const position of [...live.keys()]) drop(position);
  }
  const at = (y) => last(tops, y, order.length);

  function render() {
    if (!order.length) return place();
    // Heights become known as groups appear: keep the group at the top of the view where it is.
    for (let round = 0; round < 4; round++) {
      const top = scrollY - listTop();
      const anchor = at(Math.max(0, top + barHeight())), from = at(top - innerHeight);
      const until = at(top + 2 * innerHeight), before = tops[anchor];
      for (const position of [...live.keys()]) {
        if ((position < from || position > until) && !live.get(position).contains(document.activeElement)) drop(position);
      }
      const fresh = [];
      for (let position = from; position <= until; position++) {
        if (live.has(position)) continue;
        const element = article(order[position], position);
        live.set(position, element);
        fresh.push(position);
        const next = [...live.keys()].filter((other) => other > position).sort((a, b) => a - b)[0];
        list.insertBefore(element, next === undefined ? null : live.get(next));
      }
      let changed = false;
      for (const position of fresh) {
        const height = live.get(position).getBoundingClientRect().height;
        changed ||= Math.abs(height - (tops[position + 1] - tops[position])) > 0.5;
        heights[order[position]] = height;
      }
      if (changed) layOut();
      for (const [position, element] of live) element.style.transform = `translateY(${tops[position]}px)`;
      const moved = tops[anchor] - before;
      if (Math.abs(moved) > 0.5 && top > 0) scrollBy({ top: moved, behavior: "instant" });
      if (!changed) break;
    }
    place();
  }
  const current = () => at(Math.max(0, scrollY - listTop() + barHeight() + 8));
  function place() {
    const shown = matching === total ? "" : ` (${number.format(total)} in all)`;
    const text = order.length ? `${number.format(current() + 1)} of ${number.format(matching)}${shown}` : `none${shown}`;
    if (byId("place").textContent !== text) byId("place").textContent = text;
  }
  function go(position) {
    if (!order.length) return;
    position = Math.min(Math.max(position, 0), order.length - 1);
    for (let round = 0; round < 3; round++) {
      scrollTo({ top: listTop() + tops[position] - barHeight(), behavior: "instant" });
      render();
    }
    live.get(position)?.focus({ preventScroll: true });
  }
  function step(by) {
    const here = current(), passed = scrollY - listTop() + barHeight() - tops[here] > 8;
    if (by > 0) go(passed || scrollY - listTop() + barHeight() >= tops[here] - 8 ? here + 1 : here);
    else go(passed ? here : here - 1);
  }
  function openAddress() {
    const found = /^#g(\d+)$/.exec(location.hash);
    const position = found ? order.indexOf(Number(found[1]) - 1) : -1;
    history.scrollRestoration = found ? "manual" : "auto";
    if (position >= 0) go(position);
  }

  // ---- events
  let waiting = false;
  const soon = () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; render(); });
  };
  let typing = 0;
  byId("search").addEventListener("input", () => { clearTimeout(typing); typing = setTimeout(choose, 120); });
  byId("sort").addEventListener("change", choose);
  byId("next").addEventListener("click", () => step(1));
  byId("previous").addEventListener("click", () => step(-1));
  addEventListener("scroll", soon, { passive: true });
  addEventListener("hashchange", openAddress);
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const writing = event.target.matches("input, select, textarea");
    if (event.key === "Escape" && event.target === byId("search")) {
      byId("search").value = "";
      choose();
    } else if (writing) return;
    else if (event.key === "/") byId("search").focus();
    else if (event.key === "j" || event.key === "n") step(1);
    else if (event.key === "k" || event.key === "p") step(-1);
    else return;
    event.preventDefault();
  });
  let width = 0;
  new ResizeObserver(() => {
    if (list.clientWidth === width) return;
    width = list.clientWidth;
    const here = current(), inside = scrollY > listTop();
    heights.fill(0);
    clear();
    layOut();
    if (inside) scrollTo({ top: listTop() + tops[here] - barHeight(), behavior: "instant" });
    render();
  }).observe(list);

  width = list.clientWidth;
  choose();
  openAddress();
})();
