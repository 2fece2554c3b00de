// Requests to the service: one photograph in each, a few at once; a busy service (503) is asked again.

import { word } from "./languages.js";

const MAX_REQUESTS = 4;
const MAX_TRIES = 20;
let token = "";
let inProgress = 0;
const waiting = [];

// `photograph` is the entry of an unusable photograph: what is known of its eye, patient and date.
export class ServiceError extends Error {
  constructor(status, message, photograph) {
    super(message);
    this.status = status;
    this.photograph = photograph;
  }
}

export function setToken(value) {
  token = value;
}

export async function getModel() {
  return (await send("v1/model")).json();
}

// Returns the result for one photograph, and the software that made it. A browser sends a quotation mark in a name as
// %22: the id gets it back, so that tables of decisions fit those that `retinagrade grade` writes.
export function grade(file) {
  return later(async () => {
    const { software, photographs: [sent] } = await (await post("v1/grade?pictures=true", [file])).json();
    const id = file.name.includes('"') ? sent.grading.image_id.replaceAll("%22", '"') : sent.grading.image_id;
    return { software, ...sent, grading: { ...sent.grading, image_id: id } };
  });
}

// Returns a whole photograph as JPEG, for formats that the browser doesn't read.
export function getPicture(file) {
  return later(async () => (await post("v1/picture", [file])).blob());
}

// Returns the DICOM report of one study. Names of files get numbers, since two folders may have the same names.
export async function getReport(files, reader) {
  const numbered = files.map((file, index) => new File([file], `${index + 1} ${file.name}`));
  return (await post("v1/report", numbered, reader ? { reader: JSON.stringify(reader) } : {})).blob();
}

function later(work) {
  return new Promise((resolve, reject) => {
    waiting.push(() => work().then(resolve, reject));
    next();
  });
}

async function next() {
  if (inProgress >= MAX_REQUESTS || waiting.length === 0) return;
  inProgress += 1;
  await waiting.shift()();
  inProgress -= 1;
  next();
}

function post(path, files, texts = {}) {
  const body = new FormData();
  for (const file of files) body.append("photographs", file);
  for (const [name, text] of Object.entries(texts)) body.append(name, text);
  return send(path, { method: "POST", body });
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
      throw new ServiceError(0, word("unreachable"));
    }
    if (response.ok) return response;
    if (response.status === 503 && tries < MAX_TRIES) {
      await new Promise((wake) => setTimeout(wake, 1000 * Number(response.headers.get("Retry-After") ?? 1)));
      continue;
    }
    const problem = await response.json().catch(() => ({ detail: response.statusText, errors: [], photographs: [] }));
    const detail = problem.errors.map((each) => each.detail).join("; ") || problem.detail;
    throw new ServiceError(response.status, response.status === 401 ? word(token ? "token_refused" : "token_needed") : detail, problem.photographs?.[0]);
  }
}
