// The page: what is chosen, what is decided, and the keys.

import { get, inTurn, post } from "./api.js";
import { bulk, choose as chooseFolder, help } from "./dialogs.js";
import { byId, count, make, plural, size, write } from "./format.js";
import { ALL, DIFFERENT, Groups, KEPT, OPEN } from "./groups.js";
import { List } from "./list.js";
import { finished, PlanDialog } from "./plan.js";
import { Stage } from "./stage.js";
import { Threshold } from "./threshold.js";

let about, groups, planDialog;
let order = [], place = -1;

const list = new List((at) => { go(at); closeList(); });
const stage = new Stage({ keep: (file) => keep(file), keepToo: (file) => keepToo(file), select: (file) => stage.choose(file) });
const threshold = new Threshold(regroup);
const current = () => (place < 0 ? -1 : order[place]);

// ---- what is shown

async function load({ file = null } = {}) {
  const told = await get("/groups");
  groups = new Groups(told, about.roots);
  stage.forgetAll();
  threshold.set({ floor: about.floor, value: told.threshold, groups: groups.length });
  fillFolders();
  tell(told);
  const kept = file === null ? -1 : groups.groupOf(file);
  choose(kept);
  learnRelations(groups);
}

function filters() {
  const number = (id, empty) => (byId(id).value === "" ? empty : Number(byId(id).value));
  return {
    state: document.querySelector("input[name=state]:checked").value,
    text: byId("search").value,
    least: number("least", 0), most: number("most", 1), size: Number(byId("size").value),
    folder: byId("folder").value === "" ? null : Number(byId("folder").value),
    relation: byId("relation").value,
  };
}

// Filter and sort anew, and stay at a group where that is possible.
function choose(group = current()) {
  const wanted = filters();
  order = groups.choose(wanted, byId("sort").value);
  list.show(groups, order);
  const on = [wanted.least > 0 || wanted.most < 1, wanted.size > 0, wanted.folder !== null, wanted.relation !== ""].filter(Boolean).length;
  byId("filters-on").textContent = on ? `(${on} on)` : "";
  const none = byId("none");
  none.hidden = order.length > 0;
  none.textContent = !groups.length ? "No two pictures are alike at this threshold." : wanted.state === "open" && groups.state.every((state) => state !== OPEN)
    ? "Every group is decided." : "No group fits the filters.";
  byId("bulk-open").disabled = !order.length;
  go(Math.max(0, order.indexOf(group)));
}

function go(at, selected = null) {
  place = order.length ? Math.min(Math.max(at, 0), order.length - 1) : -1;
  const group = current();
  list.mark(place);
  stage.touched = false;
  const shown = group >= 0;
  byId("stage").classList.toggle("empty", !shown);
  byId("finished").hidden = shown;
  if (!shown) finish();
  stage.show(groups, group, selected);
  write(byId("place"), shown ? `${count(place + 1)} of ${count(order.length)}` : "none");
  buttons();
  clearTimeout(resting);
  resting = setTimeout(rest, REST_MS);
}

// When nobody has gone on for a moment: remember the place, and fetch what comes next.
const REST_MS = 60;
let resting = 0;
function rest() {
  remember();
  requestIdleCallback?.(() => { stage.ahead(order[place + 1]); stage.ahead(order[place + 2]); });
}

// Where a reload comes back to: a file of the group, since numbers change with the threshold.
function remember() {
  if (current() >= 0) history.replaceState(null, "", `#${groups.members[current()][0]}`);
}
addEventListener("pagehide", remember);

function finish() {
  const open = groups.state.some((state) => state === OPEN);
  byId("finished").querySelector("h2").textContent = !groups.length ? "Nothing is alike" : open ? "Nothing here" : "All decided";
  byId("finished-text").textContent = !groups.length ? "Move the slider to look for pictures that are less alike." : open
    ? "No group fits the filters." : "See the plan: what goes, what stays, and what you win. Nothing has happened to any file yet.";
  byId("finished-plan").hidden = open || !groups.length;
}

function fillFolders() {
  const chosen = byId("folder").value, uses = new Map();
  for (const file of groups.file.values()) uses.set(file.folderId, (uses.get(file.folderId) ?? 0) + 1);
  const rows = groups.places.map((name, id) => ({ id, name, n: uses.get(id) ?? 0 })).sort((a, b) => (a.name < b.name ? -1 : 1));
  byId("folder").replaceChildren(make("option", { value: "" }, "All folders"),
    ...rows.map(({ id, name, n }) => make("option", { value: id }, `${name} (${count(n)})`)));
  byId("folder").value = chosen;
  if (byId("folder").selectedIndex < 0) byId("folder").value = "";
}

// How pictures are related, where the method tells. Nothing waits for it.
async function learnRelations(model) {
  byId("relation-field").hidden = true;
  byId("relation").value = "";
  let told;
  try {
    told = (await get(`/relations?revision=${model.revision}`)).relations;
  } catch {
    return;
  }
  const names = [...new Set(told.flat())].sort();
  if (model !== groups || !names.length) return;
  model.relation = told;
  byId("relation").replaceChildren(make("option", { value: "" }, "All"), ...names.map((name) => make("option", { value: name }, name)));
  byId("relation-field").hidden = false;
  if (current() >= 0) stage.head();
}

// How much is decided.
function tell({ decided, total, going, winning, undo }) {
  const percent = total ? Math.round((100 * decided) / total) : 100, bar = byId("meter").firstElementChild;
  byId("meter").setAttribute("aria-valuenow", percent);
  if (bar.style.width !== `${percent}%`) bar.style.width = `${percent}%`;
  write(byId("progress"), total ? `${count(decided)} of ${plural(total, "group")} decided` : "no groups");
  write(byId("plan-open"), going ? `Plan: ${plural(going, "file")}, ${size(winning)}` : "Plan");
  byId("undo").disabled = !undo;
  byId("undo").title = undo ? `Undo: ${undo}` : "Nothing to undo";
  for (const [name, n] of [["open", total - decided], ["decided", decided], ["all", total]]) {
    write(document.querySelector(`[data-count=${name}]`), count(n));
  }
}

function buttons() {
  const none = current() < 0;
  for (const id of ["keep", "keep-all", "different", "odd", "reopen"]) byId(id).disabled = none;
  byId("previous").disabled = place <= 0;
  byId("next").disabled = none || place >= order.length - 1;
}

let fading = 0;
function toast(text, { error = false } = {}) {
  const box = byId("toast");
  clearTimeout(fading);
  box.textContent = text;
  box.classList.toggle("error", error);
  box.classList.add("there");
  fading = setTimeout(() => box.classList.remove("there"), error ? 9000 : 3500);
}

// ---- deciding

function decide(action, { group = current(), file = null, files = null, numbers = [group], advance = true } = {}) {
  if (!numbers.length || numbers.some((each) => each < 0)) return;
  const state = { keep: KEPT, all: ALL, different: DIFFERENT, reopen: OPEN }[action];
  const guessed = numbers.length === 1 && state !== undefined;
  if (guessed) guess(numbers[0], action, state, files);
  const revision = groups.revision;
  if (advance) next();
  if (guessed) list.refresh(new Set(numbers));
  inTurn("/decisions", { revision, action, groups: numbers, file, files }).then(take, (error) => trouble(error));
}

// What will stand is shown at once; the answer corrects it.
function guess(group, action, state, files) {
  groups.state[group] = state;
  if (action === "keep") {
    groups.kept[group] = files;
    groups.keeper[group] = files[0];
    groups.going[group] = groups.members[group].filter((id) => !files.includes(id));
  } else if (action !== "reopen") [groups.kept[group], groups.going[group], groups.won[group]] = [groups.members[group], [], 0];
  stage.forget([group]);
}

function take(change) {
  const changed = new Set(change.groups.id);
  list.refresh(groups.stand(change.groups));
  stage.forget(changed);
  tell(change);
  if (changed.has(current())) stage.show(groups, current(), stage.selected?.id);
  if (change.total && change.decided === change.total && !stage.told) {
    stage.told = true;
    toast("Every group is decided. Press p for the plan.");
  } else if (change.decided < change.total) stage.told = false;
}

async function trouble(error) {
  toast(error.message, { error: true });
  if (error.status === 409 || error.status === 422) await load({ file: groups.members[current()]?.[0] ?? null });
}

// The next group that is to be decided, else the next one.
function next() {
  for (let at = place + 1; at < order.length; at++) {
    if (groups.state[order[at]] === OPEN) return go(at);
  }
  for (let at = 0; at < place; at++) {
    if (groups.state[order[at]] === OPEN) return go(at);
  }
  if (groups.state.every((state) => state !== OPEN) && byId("stage").dataset.finished !== "yes") return go(place);
  go(Math.min(place + 1, order.length - 1));
}

function keep(file = stage.selected?.id) {
  if (current() < 0) return;
  decide("keep", { files: [file], advance: true });
}

function keepToo(file = stage.selected?.id) {
  const group = current();
  if (group < 0) return;
  const base = groups.state[group] === OPEN ? [stage.keeperId()] : groups.kept[group];
  const kept = base.includes(file) ? base.filter((id) => id !== file) : [...base, file];
  if (!kept.length) return toast("One picture of a group stays.", { error: true });
  decide("keep", { files: kept, advance: false });
}

async function undo() {
  try {
    const change = await inTurn("/undo");
    const group = groups.groupOf(change.at);
    take(change);
    if (group >= 0) {
      if (!order.includes(group)) choose(group);
      else go(order.indexOf(group));
    }
    toast(`Undone: ${change.what}`);
  } catch (error) {
    toast(error.message, { error: true });
  }
}

async function decideMany(action, numbers) {
  if (action !== "suggestion") return decide(action, { numbers, advance: false, group: numbers[0] });
  try {
    await post("/suggestions", { revision: groups.revision, groups: numbers });
    const task = await finished((now) => toast(`Choosing: ${count(now.done)} of ${plural(now.total, "group")}`));
    if (task.state === "failed") throw new Error(task.detail);
    await load({ file: groups.members[current()]?.[0] ?? null });
    toast(`${plural(numbers.length, "group")} decided as suggested. u takes it back.`);
  } catch (error) {
    toast(error.message, { error: true });
  }
}

async function regroup(value) {
  const file = stage.selected?.id ?? null, before = groups.length;
  try {
    await inTurn("/threshold", { value });
    await load({ file });
    const more = groups.length - before;
    toast(`${plural(groups.length, "group")} now${more ? `, ${count(Math.abs(more))} ${more > 0 ? "more" : "fewer"}` : ""}.`);
  } catch (error) {
    toast(error.message, { error: true });
    threshold.set({ floor: about.floor, value: groups.threshold, groups: groups.length });
  }
}

// ---- mouse

function openList(open) {
  document.body.classList.toggle("list-open", open);
  byId("show-list").setAttribute("aria-expanded", String(open));
}
const closeList = () => openList(false);

const clicks = {
  "keep": () => keep(), "keep-all": () => decide("all"), "different": () => decide("different"), "odd": odd,
  "reopen": () => decide("reopen", { advance: false }), "undo": undo, "next": () => go(place + 1), "previous": () => go(place - 1),
  "zoom-in": () => stage.lens.in(), "zoom-out": () => stage.lens.out(), "zoom-fit": () => stage.lens.reset(),
  "help-open": help, "plan-open": () => planDialog.open(), "finished-plan": () => planDialog.open(),
  "bulk-open": () => bulk(groups, order, decideMany), "show-list": () => openList(!document.body.classList.contains("list-open")),
  "clear": clearFilters,
};
for (const [id, act] of Object.entries(clicks)) byId(id).addEventListener("click", () => act());

function odd() {
  const group = current();
  if (group < 0 || groups.members[group].length < 3) return decide("different");
  decide("odd", { file: stage.selected.id, advance: false });
}

function clearFilters() {
  for (const id of ["search", "least", "most", "folder", "relation"]) byId(id).value = "";
  byId("size").value = "0";
  choose();
}

let typing = 0;
for (const id of ["search", "least", "most"]) {
  byId(id).addEventListener("input", () => { clearTimeout(typing); typing = setTimeout(choose, 100); });
}
for (const id of ["sort", "size", "folder", "relation"]) byId(id).addEventListener("change", () => choose());
byId("states").addEventListener("change", () => choose());
byId("modes").addEventListener("change", (event) => stage.setMode(event.target.value));

function setMode(mode) {
  document.querySelector(`input[name=mode][value=${mode}]`).checked = true;
  stage.setMode(mode);
}

// ---- keys

const keys = {
  j: () => go(place + 1), ArrowDown: () => go(place + 1), k: () => go(place - 1), ArrowUp: () => go(place - 1),
  n: next, Home: () => go(0), End: () => go(order.length - 1), PageDown: () => go(place + 10), PageUp: () => go(place - 10),
  ArrowRight: () => stage.files && stage.choose(stage.beside(1).id), ArrowLeft: () => stage.files && stage.choose(stage.beside(-1).id),
  Enter: () => keep(), t: () => keepToo(), a: () => decide("all"), d: () => decide("different"), x: odd,
  r: () => decide("reopen", { advance: false }), u: undo, p: () => planDialog.open(), g: () => bulk(groups, order, decideMany),
  1: () => setMode("side"), 2: () => setMode("blink"), 3: () => setMode("difference"),
  b: () => setMode(stage.mode === "blink" ? "side" : "blink"), v: () => setMode(stage.mode === "difference" ? "side" : "difference"),
  "+": () => stage.lens.in(), "=": () => stage.lens.in(), "-": () => stage.lens.out(), 0: () => stage.lens.reset(),
  "/": () => { openList(true); byId("search").focus(); }, f: () => { byId("filters").open = true; byId("least").focus(); },
  "?": help,
};
const pans = { ArrowLeft: [-0.1, 0], ArrowRight: [0.1, 0], ArrowUp: [0, -0.1], ArrowDown: [0, 0.1] };

addEventListener("keydown", (event) => {
  const { target } = event;
  if (document.querySelector("dialog[open]") || !groups) return;
  if ((event.ctrlKey || event.metaKey) && event.key === "z") {
    event.preventDefault();
    return undo();
  }
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const writing = target.matches("input:not([type=radio]):not([type=range]), select, textarea");
  if (event.key === "Escape") {
    if (writing && target === byId("search") && target.value) { target.value = ""; choose(); }
    else { target.blur?.(); closeList(); }
    return;
  }
  if (writing) return;
  if (target.matches("input[type=range], input[type=radio]") && event.key.startsWith("Arrow")) return;
  if (event.key === "Enter" && target.matches("button:not(.pane), summary")) return;
  if (event.shiftKey && pans[event.key]) stage.lens.pan(...pans[event.key]);
  else if (keys[event.key]) keys[event.key]();
  else return;
  event.preventDefault();
});

// ---- begin

async function begin() {
  try {
    about = await get("");
    if (about.choices.length) {
      byId("choose-open").hidden = !about.open;
      if (!about.open) chooseFolder(about, openRoot);
    }
    if (about.open) await start();
    else byId("progress").textContent = "No folder is open.";
  } catch (error) {
    byId("progress").textContent = error.message;
    toast(error.message, { error: true });
  }
  document.documentElement.dataset.ready = "yes";
}

async function start() {
  byId("about").textContent = about.roots.map((root) => root.split(/[/\\]/).pop() || root).join(", ");
  byId("about").title = `${about.roots.join("\n")}\n${plural(about.images, "picture")}, compared by ${about.method}`;
  document.title = `${byId("about").textContent} · imkin review`;
  byId("failed").hidden = !about.failed;
  byId("failed").replaceChildren(make("summary", {}, `${plural(about.failed, "file")} could not be read`),
    make("ul", {}, ...about.failures.map(([path, reason]) => make("li", {}, path, make("span", {}, reason)))));
  planDialog = new PlanDialog(about, () => load());
  const file = /^#\d+$/.test(location.hash) ? Number(location.hash.slice(1)) : null;
  await load({ file });
  // The bars may take a while; nothing waits for them.
  get("/stops").then(({ stops }) => threshold.draw(stops), () => {});
}

async function openRoot(wanted, tell) {
  await post("/open", wanted);
  const task = await finished(tell);
  if (task.state !== "done") throw new Error(task.detail || "stopped");
  location.hash = "";
  about = await get("");
  byId("choose-open").hidden = false;
  await start();
}
byId("choose-open").addEventListener("click", () => chooseFolder(about, openRoot));
begin();
