// What results mean, in words. Thresholds come from the model; nothing is decided here.

export const SIDE = { R: "Right eye", L: "Left eye", "": "Eye not said" };

const two = (value) => value.toFixed(2);
const percent = (value) => `${(100 * value).toFixed(0)}\u00a0%`;

export function operatingPoint(model) {
  const point = model.referable;
  if (!point) return `No operating point for referral: ${model.undefined.referable ?? "the model has none"}.`;
  const rule = point.target === null ? `by the rule "${point.rule}"` : `for a ${point.rule} of ${percent(point.target)}`;
  return `Operating point for referral (grade 2 or worse): probability ${two(point.threshold)}, chosen ${rule}; `
    + `on the photographs that it was chosen on, sensitivity ${percent(point.sensitivity)}, specificity ${percent(point.specificity)}.`;
}

export function advice(grading, model) {
  if (!grading.gradable) return { refer: true, text: "Not good enough to be graded: a person should look." };
  const sure = grading.refer_to_person ? ` Not sure (confidence ${two(grading.confidence)}): a person should look.` : "";
  if (grading.referable === null) return { refer: grading.refer_to_person === true, text: `No advice: the model has no operating point.${sure}` };
  const sum = grading.probabilities.slice(2).reduce((a, b) => a + b);
  const [verdict, side] = grading.referable ? ["Refer", "at or above"] : ["No referral", "below"];
  const threat = grading.vision_threatening ? " Vision-threatening retinopathy is likely enough to be looked for." : "";
  const text = `${verdict}: probability of grade 2 or worse ${two(sum)}, ${side} the operating point ${two(model.referable.threshold)}.${threat}${sure}`;
  return { refer: grading.referable || grading.refer_to_person === true, text };
}

// Both eyes together, by the rule of the grader's studies: an eye that nobody could look at is no healthy eye.
export function overall(photographs, model) {
  const graded = photographs.filter((one) => one.result && one.result.grading.grade !== null);
  const side = ({ eye }) => SIDE[eye].toLowerCase();
  const refer = graded.filter((one) => one.result.grading.referable);
  if (refer.length > 0) return `Refer: ${refer.map(side).join(", ")}.`;
  const unsure = graded.filter((one) => advice(one.result.grading, model).refer);
  const missing = ["R", "L"].filter((eye) => !graded.some((one) => one.eye === eye)).map((eye) => SIDE[eye].toLowerCase());
  const said = [
    ...(unsure.length > 0 ? [`A person should look: ${unsure.map(side).join(", ")}.`] : []),
    ...(missing.length > 0 ? [`Nothing known of the ${missing.join(" and the ")}: no advice for the patient.`] : []),
  ];
  return said.join(" ") || (model.referable ? "No referral: neither eye is referable at the operating point." : "");
}

export function further(grading, model) {
  const said = [];
  if (grading.conformal_set && model.conformal) {
    const grades = grading.conformal_set.map((grade) => `${grade} ${model.grades[grade]}`).join(", ");
    said.push(`Grades that hold the right one in ${percent(model.conformal.coverage)} of photographs: ${grades || "none"}.`);
  }
  said.push(`Quality ${two(grading.quality)}. Model ${grading.model}.`);
  return said.join(" ");
}
