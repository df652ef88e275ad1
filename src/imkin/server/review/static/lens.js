// Zoom and pan in step: one scale and one place for all pictures of the group, in parts of the picture.

import { byId } from "./format.js";

const MOST = 16, STEP = 1.4;

export class Lens {
  constructor(onChange) {
    this.onChange = onChange;
    [this.scale, this.x, this.y] = [1, 0, 0];
  }

  reset() {
    if (this.scale === 1) return;
    this.scale = 1;
    this.x = 0; // of the view's middle, from the picture's middle, in widths of the picture as it fits
    this.y = 0;
    this.apply();
  }

  get transform() {
    return this.scale === 1 ? "" : `scale(${this.scale}) translate(${-100 * this.x}%, ${-100 * this.y}%)`;
  }

  apply() {
    const { scale } = this, limit = Math.max(0, (scale - 1) / 2 / scale);
    this.x = Math.min(limit, Math.max(-limit, this.x));
    this.y = Math.min(limit, Math.max(-limit, this.y));
    for (const fit of document.querySelectorAll(".fit")) fit.style.transform = this.transform;
    byId("zoom-value").textContent = scale === 1 ? "Fit" : `${Math.round(scale * 100)} %`;
    byId("cards").classList.toggle("zoomed", scale > 1);
    this.onChange(scale);
  }

  // Zoom by a factor and keep the point (px, py) where it is; it is given in parts of the pane from its middle.
  zoom(factor, px = 0, py = 0) {
    const before = this.scale;
    this.scale = Math.min(MOST, Math.max(1, before * factor));
    if (this.scale < 1.02) this.scale = 1;
    this.x += px * (1 / before - 1 / this.scale);
    this.y += py * (1 / before - 1 / this.scale);
    this.apply();
  }

  in() { this.zoom(STEP); }
  out() { this.zoom(1 / STEP); }

  pan(dx, dy) {
    this.x += dx / this.scale;
    this.y += dy / this.scale;
    this.apply();
  }

  // Wheel, drag, pinch and double tap on a pane. onPick: a plain click.
  attach(pane, onPick) {
    const fingers = new Map();
    let moved = false, apart = 0;
    const place = (event) => {
      const box = pane.querySelector(".fit").parentElement.getBoundingClientRect();
      return [(event.clientX - box.left) / box.width - 0.5, (event.clientY - box.top) / box.height - 0.5];
    };
    pane.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoom(Math.exp(-event.deltaY / 400), ...place(event));
    }, { passive: false });
    pane.addEventListener("pointerdown", (event) => {
      fingers.set(event.pointerId, event);
      moved = false;
      apart = 0;
      if (this.scale > 1 || fingers.size > 1) pane.setPointerCapture(event.pointerId);
    });
    pane.addEventListener("pointermove", (event) => {
      const before = fingers.get(event.pointerId);
      if (!before) return;
      fingers.set(event.pointerId, event);
      const box = pane.getBoundingClientRect();
      if (fingers.size === 2) {
        const [a, b] = [...fingers.values()];
        const now = Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY);
        if (apart) this.zoom(now / apart, ...place(event));
        [apart, moved] = [now, true];
      } else if (this.scale > 1) {
        const [dx, dy] = [event.clientX - before.clientX, event.clientY - before.clientY];
        if (Math.abs(dx) + Math.abs(dy) > 1) moved = true;
        this.pan(-dx / box.width, -dy / box.height);
      }
    });
    for (const end of ["pointerup", "pointercancel"]) {
      pane.addEventListener(end, (event) => {
        fingers.delete(event.pointerId);
        apart = 0;
      });
    }
    pane.addEventListener("click", () => {
      if (!moved) onPick();
      moved = false;
    });
  }
}
