// The slider: how many groups there are at each threshold, before one is chosen.

import { byId, make, count, near, plural } from "./format.js";

export class Threshold {
  constructor(onChange) {
    this.slider = byId("threshold");
    this.stops = [];
    this.slider.addEventListener("input", () => this.tell(Number(this.slider.value)));
    this.slider.addEventListener("change", () => onChange(Number(this.slider.value)));
  }

  // floor: the lowest threshold. value: the present one, groups of them.
  set({ floor, value, groups }) {
    this.now = { value, groups };
    this.floor = floor;
    this.slider.min = floor;
    this.slider.max = 1;
    this.slider.value = value;
    this.slider.disabled = floor >= 1;
    this.tell(value);
  }

  draw(stops) {
    this.stops = stops;
    const most = Math.max(1, ...stops.map(([, groups]) => groups));
    byId("bars").replaceChildren(...stops.map(([, groups]) => {
      const bar = make("i");
      bar.style.height = `${Math.max(4, (100 * groups) / most)}%`;
      return bar;
    }));
    this.tell(Number(this.slider.value));
  }

  tell(value) {
    const same = Math.abs(value - this.now.value) < 0.0005;
    byId("threshold-value").textContent = near(value);
    const bars = [...byId("bars").children];
    bars.forEach((bar, i) => bar.classList.toggle("on", this.stops[i][0] >= value - 0.0005));
    let text = plural(this.now.groups, "group");
    if (!same && this.stops.length) {
      const stop = this.stops.reduce((a, b) => (Math.abs(b[0] - value) < Math.abs(a[0] - value) ? b : a));
      text = `about ${count(stop[1])} (now ${count(this.now.groups)})`;
    }
    byId("threshold-groups").textContent = text;
    this.slider.setAttribute("aria-valuetext", `${near(value)}, ${text}`);
  }
}
