// The service: one request a photograph, a few at a time; comes back when it is told to.

const AT_ONCE = 4;
const MOST_TRIES = 20;
let token = "";
let underWay = 0;
const waiting = [];

export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

export function present(said) {
  token = said;
}

export async function getModel() {
  return (await ask("v1/model")).json();
}

export function grade(file) {
  return new Promise((resolve, reject) => {
    waiting.push({ file, resolve, reject });
    next();
  });
}

async function next() {
  if (underWay >= AT_ONCE || waiting.length === 0) return;
  const { file, resolve, reject } = waiting.shift();
  underWay += 1;
  try {
    const body = new FormData();
    body.append("photographs", file);
    const answer = await (await ask("v1/grade?pictures=true", { method: "POST", body })).json();
    resolve(answer.photographs[0]);
  } catch (error) {
    reject(error);
  }
  underWay -= 1;
  next();
}

async function ask(path, options = {}) {
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  for (let tries = 1; ; tries += 1) {
    let response;
    try {
      response = await fetch(path, { ...options, headers });
    } catch {
      throw new Refused(0, "The service can't be reached, or broke the connection: try again.");
    }
    if (response.ok) return response;
    if (response.status === 503 && tries < MOST_TRIES) {
      await new Promise((wake) => setTimeout(wake, 1000 * Number(response.headers.get("Retry-After") ?? 1)));
      continue;
    }
    const problem = await response.json().catch(() => ({ detail: response.statusText, errors: [] }));
    throw new Refused(response.status, problem.errors.map((one) => one.detail).join("; ") || problem.detail);
  }
}
