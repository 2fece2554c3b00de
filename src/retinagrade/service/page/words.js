// Results in words. Every threshold comes from the model; this file decides nothing.

export const SIDE = { R: "Right eye", L: "Left eye", "": "Eye unknown" };

const GRADES = ["no diabetic retinopathy", "mild non-proliferative diabetic retinopathy",
  "moderate non-proliferative diabetic retinopathy", "severe non-proliferative diabetic retinopathy",
  "proliferative diabetic retinopathy"];

const twoDigits = (value) => value.toFixed(2);
const percent = (value) => `${(100 * value).toFixed(0)}\u00a0%`;
const upperFirst = (text) => text[0].toUpperCase() + text.slice(1);

export const gradeName = (grade) => upperFirst(GRADES[grade]);
export const shortGradeName = (grade) => (grade === 0 ? gradeName(0) : gradeName(grade).replace(" diabetic retinopathy", ""));

export function operatingPoint(model) {
  const point = model.referable;
  if (!point) return `This model has no operating point for referral${model.undefined.referable ? `: ${model.undefined.referable}` : ""}.`;
  const rule = point.target === null ? `by the rule "${point.rule}"` : `for a ${point.rule} of ${percent(point.target)}`;
  return `Operating point for referral (grade 2 or worse): probability ${twoDigits(point.threshold)}, chosen ${rule}. `
    + `Sensitivity ${percent(point.sensitivity)} and specificity ${percent(point.specificity)} on the photographs on which it was chosen.`;
}

export function advice(grading, model) {
  if (!grading.gradable) return { refer: true, text: "This photograph can't be graded: take it again, or let a person review it." };
  const reasons = grading.review_reasons.map((reason) => (reason === "uncertain grade" ? `low confidence (${twoDigits(grading.confidence)})` : reason));
  const review = grading.needs_review ? ` A person should review this photograph: ${reasons.join("; ")}.` : "";
  if (grading.referable === null) return { refer: grading.needs_review === true, text: `No advice on referral: the model has no operating point.${review}` };
  const sum = grading.probabilities.slice(2).reduce((a, b) => a + b);
  const side = sum >= model.referable.threshold ? "at or above" : "below";
  const verdict = grading.referable ? `Refer for ${grading.referral_reasons.join(" and ")}` : "No referral";
  const threat = `${grading.vision_threatening ? " Vision-threatening retinopathy is suspected." : ""}${grading.oedema ? " Macular oedema is suspected." : ""}`;
  const text = `${verdict}: the probability of grade 2 or worse is ${twoDigits(sum)}, ${side} the operating point ${twoDigits(model.referable.threshold)}.${threat}${review}`;
  return { refer: grading.referable || grading.needs_review === true, text };
}

// Both eyes together, by the same rule as the studies of the grader: an eye without a grade does not count as healthy.
export function overall(photographs, model) {
  const graded = photographs.filter(({ result }) => result && result.grading.predicted_grade !== null);
  const side = ({ eye }) => SIDE[eye].toLowerCase();
  const refer = graded.filter(({ result }) => result.grading.referable);
  if (refer.length > 0) return `Refer: ${refer.map(side).join(", ")}.`;
  const review = graded.filter(({ result }) => advice(result.grading, model).refer);
  const missing = ["R", "L"].filter((eye) => !graded.some((photograph) => photograph.eye === eye)).map((eye) => SIDE[eye].toLowerCase());
  const sentences = [
    ...(review.length > 0 ? [`A person should review: ${review.map(side).join(", ")}.`] : []),
    ...(missing.length > 0 ? [`No result for the ${missing.join(" and the ")}: no advice for the patient.`] : []),
  ];
  return sentences.join(" ") || (model.referable ? "No referral: neither eye is referable at the operating point." : "");
}

export function further(grading, model) {
  const sentences = [];
  if (grading.prediction_set && model.prediction_sets) {
    const grades = grading.prediction_set.map((grade) => `${grade} (${shortGradeName(grade).toLowerCase()})`).join(", ");
    sentences.push(`Set of possible grades, which contains the right grade in ${percent(model.prediction_sets.coverage)} of photographs: ${grades || "empty"}.`);
  }
  sentences.push(`Image quality ${twoDigits(grading.quality)} (${grading.quality_level}). Model ${grading.model}.`);
  return sentences.join(" ");
}

const KINDS = { microaneurysms: "microaneurysm", haemorrhages: "haemorrhage", hard_exudates: "hard exudate", soft_exudates: "soft exudate (cotton-wool spot)" };
const PLACES = ["upper left", "upper right", "lower left", "lower right"];
const OEDEMA = ["no hard exudates", "hard exudates, all farther than one disc diameter from the fovea", "hard exudates within one disc diameter of the fovea"];

// The name of a kind of lesion: one, or several.
export function kindName(kind, count = 2) {
  const one = KINDS[kind] ?? kind.replaceAll("_", " ");
  if (count === 1 || !KINDS[kind]) return one;
  return one.includes(" (") ? one.replace(" (", "s (").replace(")", "s)") : `${one}s`;
}

// The lesions, the second opinion of the clinical rules, and the risk of macular oedema: one sentence each.
export function findings(grading) {
  if (grading.rule_grade === null) return [];
  const counts = Object.keys(KINDS).filter((kind) => grading[kind] !== null).map((kind) => {
    const places = grading[`${kind}_quadrants`].map((count, index) => [count, PLACES[index]]).filter(([count]) => count > 0);
    const where = places.map(([count, place]) => `${count} ${place}`).join(", ");
    return upperFirst(`${grading[kind] || "no"} ${kindName(kind, grading[kind])}${where ? `: ${where}` : ""}.`);
  });
  const rule = grading.rule_grade === 0 ? "no retinopathy" : shortGradeName(grading.rule_grade).toLowerCase();
  return [
    ...counts,
    `Second opinion by clinical rules, from these numbers alone: grade ${grading.rule_grade}, ${rule}.`,
    ...(grading.oedema_risk === null ? [] : [`Most probable risk of macular oedema: ${grading.oedema_risk} of 2 (${OEDEMA[grading.oedema_risk]}). Probability of risk 1 or 2: ${twoDigits(grading.oedema_probability)}.`]),
  ];
}
