// The help, and decisions on many groups at once, with their number first.

import { post } from "./api.js";
import { byId, count, make, plural } from "./format.js";

const KEYS = [
  ["Groups", [["j or ↓", "next group"], ["k or ↑", "previous group"], ["n", "next group to decide"], ["/", "search"], ["f", "filters"], ["g", "decide all that are shown"]]],
  ["Pictures", [["← →", "choose a picture"], ["1 2 3", "side by side, blink, difference"], ["+ − 0", "zoom in, out, fit"], ["shift and arrows", "pan"]]],
  ["Decide", [["Enter", "keep this, the others go"], ["t", "keep this too, or let it go"], ["a", "keep all"], ["d", "these are different"], ["x", "only this one is different"], ["r", "open again"], ["u", "undo"]]],
  ["End", [["p", "the plan"], ["?", "this help"], ["Esc", "close"]]],
];

export function help() {
  const dialog = byId("help");
  if (!dialog.childElementCount) {
    dialog.append(make("h2", { id: "help-title" }, "Keys"),
      make("p", { class: "soft" }, "Every decision is saved at once. No file changes before you apply the plan, and even that can be undone."),
      make("div", { class: "keys" }, ...KEYS.map(([title, rows]) => make("section", {}, make("h3", {}, title),
        make("dl", {}, ...rows.map(([key, what]) => make("div", {}, make("dt", {}, ...key.split(" ").map((word) =>
          (["or", "and"].includes(word) ? ` ${word} ` : make("kbd", {}, word)))), make("dd", {}, what))))))),
      closing(dialog));
  }
  dialog.showModal();
}

export function closing(dialog, ...before) {
  const close = make("button", { type: "button", class: "quiet" }, "Close");
  close.addEventListener("click", () => dialog.close());
  return make("div", { class: "buttons" }, close, ...before);
}

// Where the service was started with folders: which one to review, and how. open(wanted, tell): scans it.
export function choose(about, open) {
  const dialog = byId("choose"), words = make("p", { class: "soft", role: "status" }, "Its pictures are looked through, then you decide. No file is changed by that.");
  const bar = make("progress", { "aria-label": "Progress", max: 1, value: 0, hidden: true });
  dialog.addEventListener("cancel", (event) => { if (!about.open || !bar.hidden) event.preventDefault(); });
  const how = comparing(about);
  const stop = make("button", { type: "button", class: "quiet", id: "scan-stop", hidden: true }, "Stop");
  stop.addEventListener("click", () => post("/task/stop"));
  const list = make("div", { class: "choices" }, ...about.choices.map((folder, number) => {
    const button = make("button", { type: "button", autofocus: number === 0 }, folder);
    button.addEventListener("click", async () => {
      list.querySelectorAll("button").forEach((each) => { each.disabled = true; });
      bar.hidden = stop.hidden = false;
      try {
        await open({ root: number, ...how.wanted() }, ({ stage, done, total }) => {
          bar.max = total || 1;
          bar.value = done;
          words.textContent = total ? `${stage}: ${count(done)} of ${count(total)}` : stage || "listing";
        });
        dialog.close();
      } catch (error) {
        words.textContent = error.message;
        bar.hidden = stop.hidden = true;
        list.querySelectorAll("button").forEach((each) => { each.disabled = false; });
      }
    });
    return button;
  }));
  dialog.replaceChildren(make("h2", { id: "choose-title" }, "Which folder?"), words, how.fields, list, bar, make("div", { class: "buttons" }, stop));
  if (about.open) dialog.append(closing(dialog));
  dialog.showModal();
}

const GROUPINGS = [["transitive", "whoever a chain links"], ["star", "all near one picture"], ["clique", "all near each other"]];

// Fields for method, threshold and grouping; wanted() is what they say.
function comparing({ methods, method, grouping }) {
  const by = make("select", { id: "by" }, ...methods.map(({ name, about }) =>
    make("option", { value: name, selected: name === (method ?? "auto"), title: about }, name)));
  const least = make("input", { id: "from", type: "number", min: 0, max: 1, step: "any", inputmode: "decimal" });
  const groups = make("select", { id: "grouping" }, ...GROUPINGS.map(([name, words]) =>
    make("option", { value: name, selected: name === grouping }, words)));
  const note = make("p", { class: "soft wide" });
  const tell = () => {
    const chosen = methods.find(({ name }) => name === by.value);
    least.placeholder = chosen.threshold;
    note.textContent = chosen.about;
  };
  by.addEventListener("change", tell);
  tell();
  const fields = make("div", { class: "fields how" }, make("label", {}, "Compare by ", by), make("label", {}, "Similar from ", least),
    make("label", { class: "wide" }, "A group is ", groups), note);
  return { fields, wanted: () => ({ by: by.value, threshold: least.value === "" ? null : Number(least.value), grouping: groups.value }) };
}

const ACTIONS = [
  ["suggestion", "Keep the suggested picture of each", "the others go if they are near it"],
  ["all", "Keep all of them", "nothing goes"],
  ["different", "They are different", "remembered: they are not paired again"],
  ["reopen", "Open them again", "forget what was decided about them"],
];

// groups: those that are shown. onDo(action, groups) is called after «Do it».
export function bulk(model, groups, onDo) {
  const dialog = byId("bulk"), open = groups.filter((group) => model.state[group] === 0);
  const choice = make("div", { class: "choices", role: "radiogroup", "aria-labelledby": "bulk-title" });
  const go = make("button", { type: "button", class: "strong" });
  let action = "suggestion";
  const counted = () => (action === "suggestion" ? open : action === "reopen" ? groups.filter((group) => model.state[group] !== 0) : open);
  const tell = () => {
    const n = counted().length;
    go.textContent = n ? `Decide ${plural(n, "group")}` : "Nothing to decide";
    if (action === "reopen") go.textContent = n ? `Open ${plural(n, "group")} again` : "None is decided";
    go.disabled = n === 0;
  };
  for (const [name, title, effect] of ACTIONS) {
    const input = make("input", { type: "radio", name: "bulk-action", value: name, checked: name === action });
    input.addEventListener("change", () => { action = name; tell(); });
    choice.append(make("label", {}, input, make("span", {}, make("b", {}, title), make("small", {}, effect))));
  }
  go.addEventListener("click", () => { dialog.close(); onDo(action, counted()); });
  const pictures = open.reduce((sum, group) => sum + model.members[group].length, 0);
  dialog.replaceChildren(make("h2", { id: "bulk-title" }, `${plural(groups.length, "group")} shown`),
    make("p", { class: "soft" }, `${count(open.length)} of them to decide, with ${plural(pictures, "picture")}. What is decided already stays as it is. One undo takes it back.`),
    choice, closing(dialog, go));
  tell();
  dialog.showModal();
}
