// The end: what would happen, a clear summary, apply with progress, undo.

import { get, post } from "./api.js";
import { closing } from "./dialogs.js";
import { byId, count, make, picture, plural, size, THUMBNAIL } from "./format.js";

const POLL_MS = 150;
const VERBS = {
  trash: ["Move to the trash", "goes to the trash", "go to the trash"],
  delete: ["Delete, held back until imkin purge", "is deleted and held back", "are deleted and held back"],
  hardlink: ["Replace by hard links", "becomes a hard link", "become hard links"],
  reflink: ["Replace by copy-on-write clones", "becomes a clone", "become clones"],
  symlink: ["Replace by symbolic links", "becomes a symbolic link", "become symbolic links"],
  move: ["Move to a folder …", "moves to", "move to"],
};

export class PlanDialog {
  // about: what the service says of the review. onChanged: called when files went or came back.
  constructor(about, onChanged) {
    this.dialog = byId("plan");
    this.about = about;
    this.verb = about.verb;
    this.target = about.target;
    this.onChanged = onChanged;
    this.dialog.addEventListener("cancel", (event) => { if (this.running) event.preventDefault(); });
  }

  // Whether it is still to be said where files are moved to.
  get wanting() {
    return this.verb === "move" && !/^([/~]|[a-z]:|\\\\)/i.test(this.target);
  }

  get isOpen() {
    return this.dialog.open;
  }

  async open() {
    if (this.isOpen) return;
    this.dialog.replaceChildren(make("h2", { id: "plan-title" }, "The plan"), make("p", { class: "soft" }, "Making the plan …"));
    this.dialog.showModal();
    await this.load();
  }

  async load() {
    // Without a folder to move to there is a plan all the same, of which only the number of files is told.
    const asked = this.wanting ? "verb=trash" : `verb=${this.verb}&target=${encodeURIComponent(this.target)}`;
    try {
      this.plan = await get(`/plan?${asked}`);
      this.wrong = "";
    } catch (error) {
      if (this.verb !== "move" || !this.plan) return this.fail(error.message);
      this.wrong = error.message;
    }
    this.draw();
  }

  fail(message) {
    this.dialog.replaceChildren(make("h2", { id: "plan-title" }, "The plan"), make("p", { class: "warning", role: "alert" }, message), closing(this.dialog));
    this.focus("button");
  }

  draw() {
    const { plan } = this;
    const body = [make("h2", { id: "plan-title" }, "The plan")];
    if (!plan.count) {
      body.push(make("p", {}, plan.undecided
        ? `Nothing goes yet: ${plural(plan.undecided, "group is", "groups are")} still to decide.` : "Nothing goes: every picture stays."));
    } else {
      body.push(figures([[count(plan.count), plan.count === 1 ? "file goes" : "files go"], [size(plan.bytes), "to win"],
        [count(plan.kept), plan.kept === 1 ? "kept for it" : "kept for them"], [count(plan.undecided), "groups not decided, left alone"]]));
      body.push(this.choice());
      body.push(make("ul", { class: "rows", tabindex: "0", "aria-label": "What goes, and what it goes for" }, ...plan.actions.map(row)));
      if (plan.count > plan.actions.length) body.push(make("p", { class: "soft" }, `… and ${count(plan.count - plan.actions.length)} more.`));
    }
    if (plan.left_count) body.push(this.left(plan.left, plan.left_count, "stay although you let them go"));
    const buttons = [];
    if (this.about.run && !plan.count) buttons.push(this.undoButton(this.about.run));
    if (plan.count && !this.wanting && !this.wrong) {
      const apply = make("button", { type: "button", class: "strong", id: "apply" }, `Apply to ${plural(plan.count, "file")}`);
      apply.addEventListener("click", () => this.confirm(apply));
      buttons.push(apply);
    }
    this.dialog.replaceChildren(...body, closing(this.dialog, ...buttons));
  }

  choice() {
    const select = make("select", { id: "verb" }, ...this.about.verbs.map((verb) =>
      make("option", { value: verb, selected: verb === this.verb }, VERBS[verb][0])));
    select.addEventListener("change", () => { this.verb = select.value; this.load().then(() => byId("verb")?.focus()); });
    const chosen = make("label", { class: "verb" }, "What happens to them ", select);
    if (this.verb !== "move") return chosen;
    const folder = make("input", { id: "target", type: "text", value: this.target, autocomplete: "off", spellcheck: "false",
      placeholder: "/home/me/duplicates", "aria-describedby": "target-note" });
    folder.addEventListener("change", () => { this.target = folder.value.trim(); this.load(); });
    const wrong = this.wrong || (this.wanting && this.target ? "Name the folder by its whole path, from its beginning." : "");
    const note = make("p", { id: "target-note", class: wrong ? "warning" : "soft", role: wrong ? "alert" : null },
      wrong || "It is made if it is not there. What lies in it is never overwritten.");
    return make("div", { class: "move" }, chosen, make("label", { class: "verb" }, "Folder, by its whole path ", folder), note);
  }

  left(rows, total, what) {
    return make("details", { class: "left" }, make("summary", {}, `${plural(total, "file")} ${what}`),
      make("ul", {}, ...rows.map((each) => make("li", {}, each.path, make("span", {}, each.why)))));
  }

  // A second click is asked for in the place of the first one, in words that say what happens.
  confirm(apply) {
    const { plan } = this;
    const sure = make("button", { type: "button", class: "danger", id: "apply-now" }, "Apply now");
    sure.addEventListener("click", () => this.run(() => post("/plan/apply", { verb: this.verb, target: this.target, count: plan.count, revision: plan.revision })));
    const [, one, many] = VERBS[this.verb], where = this.verb === "move" ? ` ${this.target}` : "";
    apply.replaceWith(make("p", { class: "sure", role: "alert" }, `${plural(plan.count, "file")} ${plan.count === 1 ? one : many}${where}. Each is looked at once more before. It can be undone.`), sure);
    sure.focus();
  }

  async run(start) {
    const bar = make("progress", { "aria-label": "Progress", max: 1, value: 0 });
    const words = make("p", { role: "status" }, "Starting …");
    const stop = make("button", { type: "button", class: "quiet" }, "Stop");
    stop.addEventListener("click", () => { stop.disabled = true; post("/task/stop"); });
    this.dialog.replaceChildren(make("h2", { id: "plan-title" }, "At work"), bar, words, make("div", { class: "buttons" }, stop));
    // Not on «Stop»: who holds Enter down a little longer must not stop what they began.
    this.focus("h2");
    this.running = true;
    try {
      await start();
      const task = await finished((now) => {
        bar.max = now.total || 1;
        bar.value = now.done;
        words.textContent = `${count(now.done)} of ${count(now.total)} files`;
      });
      this.ended(task);
    } catch (error) {
      this.fail(error.message);
    } finally {
      this.running = false;
      await this.onChanged();
    }
  }

  ended(task) {
    const { counts } = task, back = task.kind === "undo";
    const words = back ? `${plural(counts.undone ?? 0, "file is", "files are")} back where it was.`.replace(/files are back where it was/, "files are back where they were")
      : `${plural(counts.done ?? 0, "file")} done, ${size(task.bytes)} won.`;
    const body = [make("h2", { id: "plan-title" }, back ? "Undone" : task.state === "done" ? "Done" : "Stopped"), make("p", { class: "result" }, words)];
    if (task.detail) body.push(make("p", { class: "warning", role: "alert" }, task.detail));
    const rest = (counts.skipped ?? 0) + (counts.failed ?? 0);
    if (rest && !back) body.push(make("p", {}, `${plural(rest, "file was", "files were")} left, because something about it had changed.`));
    if (task.left.length) body.push(this.left(task.left, task.left.length, "with a reason"));
    if (["delete", "hardlink", "reflink", "symlink"].includes(this.verb) && !back && counts.done) {
      body.push(make("p", { class: "soft" }, "The old files are held back, and use their room, until imkin purge."));
    }
    this.about.run = back ? null : counts.done ? task.run : this.about.run;
    const buttons = this.about.run && !back ? [this.undoButton(this.about.run)] : [];
    this.dialog.replaceChildren(...body, closing(this.dialog, ...buttons));
    this.focus("button");
  }

  // What had the keyboard is gone: it stays in the dialog, at the first of these.
  focus(what) {
    const first = this.dialog.querySelector(what);
    if (what === "h2") first.tabIndex = -1;
    first?.focus();
  }

  undoButton(run) {
    const button = make("button", { type: "button", id: "undo-run" }, `Undo run ${run}`);
    button.addEventListener("click", () => this.run(() => post(`/runs/${run}/undo`)));
    return button;
  }
}

function figures(rows) {
  return make("dl", { class: "figures" }, ...rows.map(([figure, name]) => make("div", {}, make("dd", {}, figure), make("dt", {}, name))));
}

function row(action) {
  const cut = (path) => Math.max(path.lastIndexOf("/"), path.lastIndexOf("\\")) + 1;
  const side = (content, path, word) => [make("img", { src: picture(content, THUMBNAIL), alt: "", loading: "lazy", width: 44, height: 44 }),
    make("span", {}, make("small", {}, word), make("b", {}, path.slice(cut(path))), make("small", {}, path.slice(0, cut(path))))];
  const note = action.similarity === null ? "marked as the same" : action.similarity === 1 ? "1" : action.similarity.toFixed(4);
  return make("li", {}, make("div", { class: "one" }, ...side(action.content, action.path, action.beside.length ? `goes with ${action.beside.join(", ")}` : "goes")),
    make("span", { class: "alike-note" }, note), make("div", { class: "one" }, ...side(action.keep_content, action.keep, "stays")),
    make("span", { class: "won" }, size(action.bytes)));
}

// Until the task that is under way has ended. tell: called with what is known of it.
export async function finished(tell) {
  for (;;) {
    const task = await get("/task");
    tell(task);
    if (task.state !== "running") return task;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}
