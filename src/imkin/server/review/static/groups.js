// The groups as the page knows them: columns as the service sends them, what is filtered, how it is sorted.

export const OPEN = 0, KEPT = 1, ALL = 2, DIFFERENT = 3;

export class Groups {
  constructor(told, roots) {
    Object.assign(this, told.groups);
    this.revision = told.revision;
    this.threshold = told.threshold;
    this.folders = told.folders;
    this.length = this.members.length;
    this.file = new Map();
    const { id, name, folder, content, width, height, bytes, format, date } = told.files;
    this.places = told.folders.map((path) => shortened(path, roots));
    for (let i = 0; i < id.length; i++) {
      this.file.set(id[i], {
        id: id[i], name: name[i], folder: told.folders[folder[i]], place: this.places[folder[i]], folderId: folder[i], content: content[i],
        width: width[i], height: height[i], bytes: bytes[i], format: format[i], date: date[i],
      });
    }
    this.owner = new Map(this.members.flatMap((members, group) => members.map((file) => [file, group])));
    this.words = [];
  }

  files(group) {
    return this.members[group].map((id) => this.file.get(id));
  }

  // What the search looks in: names and folders, in small letters.
  haystack(group) {
    return (this.words[group] ??= this.files(group).map((file) => `${file.folder}/${file.name}`).join("\n").toLowerCase());
  }

  groupOf(file) {
    return this.owner.get(file) ?? -1;
  }

  // Take in where groups stand now; `change` has columns like those of the groups. Returns those that stand elsewhere.
  stand(change) {
    const moved = new Set();
    change.id.forEach((group, i) => {
      for (const column of ["state", "keeper", "kept", "going", "won"]) {
        if (String(this[column][group]) !== String(change[column][i])) moved.add(group);
        this[column][group] = change[column][i];
      }
    });
    return moved;
  }

  choose({ state, text, least, most, size, folder, relation }, sort) {
    const terms = text.toLowerCase().split(/\s+/).filter(Boolean);
    const found = [];
    for (let group = 0; group < this.length; group++) {
      if (state === "open" ? this.state[group] !== OPEN : state === "decided" && this.state[group] === OPEN) continue;
      if (this.least[group] < least || this.least[group] > most || this.won[group] < size) continue;
      if (folder !== null && !this.members[group].some((id) => this.file.get(id).folderId === folder)) continue;
      if (relation && !this.relation[group].includes(relation)) continue;
      if (terms.length) {
        const words = this.haystack(group);
        if (!terms.every((term) => words.includes(term))) continue;
      }
      found.push(group);
    }
    const order = ORDERS[sort];
    if (order) found.sort((a, b) => order(this, a, b) || a - b);
    return found;
  }
}

// A folder as a person thinks of it: from the name of the root on.
function shortened(path, roots) {
  for (const root of roots) {
    const above = root.length - root.split(/[/\\]/).pop().length;
    if (path === root || path.startsWith(`${root}/`) || path.startsWith(`${root}\\`)) return path.slice(above);
  }
  return path;
}

const ORDERS = {
  won: (all, a, b) => all.won[b] - all.won[a],
  count: (all, a, b) => all.members[b].length - all.members[a].length,
  alike: (all, a, b) => all.least[b] - all.least[a],
  unlike: (all, a, b) => all.least[a] - all.least[b],
};
