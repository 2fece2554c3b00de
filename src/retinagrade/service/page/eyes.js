// Which eye, and whose, as a file's name says it; the user has the last word.

const SIDES = { right: "R", left: "L", r: "R", l: "L", od: "R", os: "L" };

export function fromName(name) {
  const stem = name.replace(/\.[^.]*$/, "");
  const words = stem.split(/([ _.-]+)/);
  const places = words.map((word, i) => (SIDES[word.toLowerCase()] ? i : -1)).filter((i) => i > -1);
  const place = places.at(-1); // of several, the last: "L_Smith_right"
  if (place === undefined) return { eye: "", patient: stem };
  const rest = words.filter((_, i) => i !== place).join("").replace(/^[ _.-]+|[ _.-]+$/g, "");
  return { eye: SIDES[words[place].toLowerCase()], patient: rest || stem };
}

// As on a chart: the patient's right eye is on the left.
export function inOrder(photographs) {
  return photographs.toSorted((a, b) => "RL".indexOf(a.eye || "?") - "RL".indexOf(b.eye || "?"));
}
