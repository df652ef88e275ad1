// Speaking to the service. Decisions go one after the other, in the order in which they were made.

let last = Promise.resolve();

export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function ask(path, options = {}) {
  let answer;
  try {
    answer = await fetch(`/api/review${path}`, { credentials: "same-origin", ...options });
  } catch {
    throw new Refused(0, "The service does not answer. Was it ended? What you decided is saved.");
  }
  if (answer.status === 204) throw new Refused(204, "That was about groups that are no more.");
  if (answer.ok) return answer.json();
  const problem = await answer.json().catch(() => ({}));
  if (answer.status === 401) throw new Refused(401, "This page was opened by an earlier start. Use the newest address.");
  throw new Refused(answer.status, problem.detail || problem.title || `The service answered ${answer.status}.`);
}

export const get = (path) => ask(path);
export const post = (path, body = {}) =>
  ask(path, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });

// Like post, after all that were asked in turn before it.
export function inTurn(path, body) {
  const mine = last.then(() => post(path, typeof body === "function" ? body() : body));
  last = mine.catch(() => {});
  return mine;
}
