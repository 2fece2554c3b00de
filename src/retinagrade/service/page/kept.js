// What the page keeps over a reload: the reader's decisions and name, in this tab only.
//
// Decisions are kept under the digest of the photograph's file, which nobody can turn back into a photograph or a
// patient. A note may say anything, so nothing outlives the tab (sessionStorage), and no photograph, result, file name
// or patient's id is kept at all. Adding the same photographs again brings their decisions back.

const READINGS = "retinagrade.readings";
const READER = "retinagrade.reader";

export const readings = () => JSON.parse(read(READINGS) ?? "{}");
export const reader = () => read(READER) ?? "";
export const keepReader = (name) => write(READER, name);

export function keepReading(digest, reading) {
  const all = readings();
  if (reading) all[digest] = reading;
  else delete all[digest];
  write(READINGS, JSON.stringify(all));
}

export function forgetReadings() {
  write(READINGS, "{}");
}

function read(key) {
  try {
    return sessionStorage.getItem(key);
  } catch {
    return null; // a browser may forbid it; then a reload loses the decisions
  }
}

function write(key, value) {
  try {
    sessionStorage.setItem(key, value);
  } catch { /* as above */ }
}
