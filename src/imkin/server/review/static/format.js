// How figures, names and places read to a person; elements made in one line.

const number = new Intl.NumberFormat("en");
const dates = new Intl.DateTimeFormat("en-CA", { year: "numeric", month: "2-digit", day: "2-digit" });

export const byId = (id) => document.getElementById(id);
export const count = (value) => number.format(value);
export const plural = (value, noun, many = `${noun}s`) => `${count(value)} ${value === 1 ? noun : many}`;
export const day = (seconds) => dates.format(new Date(seconds * 1000));
export const alike = (value) => (value === 1 ? "1" : value.toFixed(4));
export const near = (value) => (value === 1 ? "1" : (Math.floor(value * 1000) / 1000).toFixed(3));

// Powers of 1000, two digits.
export function size(bytes) {
  let value = bytes, unit = "bytes";
  for (const larger of ["KB", "MB", "GB", "TB"]) {
    if (value < 999.5) break;
    [value, unit] = [value / 1000, larger];
  }
  return `${unit === "bytes" || value >= 9.95 ? value.toFixed(0) : value.toFixed(1)} ${unit}`;
}

// make("p", { class: "why", title: "…" }, "text", child, …)
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === undefined || value === null) continue;
    element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

// Give an element these words, if it has others: what stays as it is costs no layout.
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// The same of parts: words, elements as [tag, attributes, …parts], and nothing.
export function fill(element, parts) {
  const wanted = JSON.stringify(parts);
  if (element.filled === wanted) return;
  element.filled = wanted;
  element.replaceChildren(...parts.map(part));
}

function part(what) {
  if (!Array.isArray(what)) return what || "";
  const [tag, attributes, ...children] = what;
  return make(tag, attributes, ...children.map(part));
}

// A path breaks after its separators first.
export function broken(path) {
  return path.split(/(?<=[/\\])/).flatMap((name, i) => (i ? [["wbr", {}], name] : [name]));
}

// After the next frame is painted: what a person waits for comes first.
export function later(act) {
  requestAnimationFrame(() => setTimeout(act));
}

export const picture = (content, side) => `/api/review/pictures/${content}/${side}.jpg`;
export const THUMBNAIL = 320, SCREEN = 1600, CLOSE = 4800;
