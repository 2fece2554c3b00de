// Requests to the service: one per photograph, a few at once; a busy service (503) is asked again.

const MAX_REQUESTS = 4;
const MAX_TRIES = 20;
let token = "";
let inProgress = 0;
const waiting = [];

export class ServiceError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

export function setToken(value) {
  token = value;
}

export async function getModel() {
  return (await send("v1/model")).json();
}

export function grade(file) {
  return new Promise((resolve, reject) => {
    waiting.push({ file, resolve, reject });
    next();
  });
}

async function next() {
  if (inProgress >= MAX_REQUESTS || waiting.length === 0) return;
  const { file, resolve, reject } = waiting.shift();
  inProgress += 1;
  try {
    const body = new FormData();
    body.append("photographs", file);
    const response = await (await send("v1/grade?pictures=true", { method: "POST", body })).json();
    resolve(response.photographs[0]);
  } catch (error) {
    reject(error);
  }
  inProgress -= 1;
  next();
}

async function send(path, options = {}) {
  // A header has bytes: those of UTF-8, each as one character.
  const bytes = String.fromCharCode(...new TextEncoder().encode(token));
  const headers = token ? { "X-API-Key": bytes } : {};
  for (let tries = 1; ; tries += 1) {
    let response;
    try {
      response = await fetch(path, { ...options, headers });
    } catch {
      throw new ServiceError(0, "The service can't be reached, or closed the connection: try again.");
    }
    if (response.ok) return response;
    if (response.status === 503 && tries < MAX_TRIES) {
      await new Promise((wake) => setTimeout(wake, 1000 * Number(response.headers.get("Retry-After") ?? 1)));
      continue;
    }
    const problem = await response.json().catch(() => ({ detail: response.statusText, errors: [] }));
    throw new ServiceError(response.status, problem.errors.map(({ detail }) => detail).join("; ") || problem.detail);
  }
}
