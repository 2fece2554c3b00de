// What the page keeps over a reload: the reader's decisions and name, in this tab only.
//
// Decisions are kept under the digest of the photograph's file, which nobody can turn back into a photograph or a
// patient. A note may say anything, so nothing outlives the tab (sessionStorage), and no photograph, result, file name
// or patient's id is kept at all. Adding the same photographs again brings their decisions back.

const READINGS = "retinagrade.readings";
const BLIND = "retinagrade.blind";
const SEEN = "retinagrade.seen";
const READER = "retinagrade.reader";

export const readings = () => JSON.parse(read(READINGS) ?? "{}");
export const reader = () => read(READER) ?? "";
export const isBlind = () => read(BLIND) === "yes"; // whether the program's answers are concealed
export const keepBlind = (blind) => write(BLIND, blind ? "yes" : "no");
export const keepReader = (name) => write(READER, name);

export function keepReading(digest, reading) {
  const all = readings();
  if (reading) all[digest] = reading;
  else delete all[digest];
  write(READINGS, JSON.stringify(all));
}

export function forgetReadings() {
  write(READINGS, "{}");
  write(SEEN, "[]");
}

// Whether the reader has seen what the program says about a photograph: then no later decision is made without it.
export const isSeen = (digest) => seen().includes(digest);

export function keepSeen(digest) {
  if (!isSeen(digest)) write(SEEN, JSON.stringify([...seen(), digest]));
}

const seen = () => JSON.parse(read(SEEN) ?? "[]");

const values = new Map(); // a browser may forbid storage; then a reload loses the decisions

function read(key) {
  if (values.has(key)) return values.get(key);
  try {
    return sessionStorage.getItem(key);
  } catch {
    return null;
  }
}

function write(key, value) {
  values.set(key, value);
  try {
    sessionStorage.setItem(key, value);
  } catch { /* as above */ }
}
