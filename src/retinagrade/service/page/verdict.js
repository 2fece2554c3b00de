// The one thing that the page says about a photograph or a patient, and why. The service decides; this file reads.

import { day, member, number, percent, word } from "./languages.js";
import { gradingOf } from "./patients.js";

// What a person has to do, the most urgent one first.
const ORDER = ["refer", "review", "ungradable", "undecided", "routine"];

export function verdict(photograph, model) {
  const { result, error, held, concealed } = photograph;
  if (held !== undefined) return { kind: "waiting", headline: word("held"), why: [held] };
  if (error !== undefined) return { kind: "ungradable", headline: word("unreadable"), why: [error] };
  if (concealed) return { kind: "concealed", headline: word("concealed"), why: [word("concealed_why")] };
  if (!result || !model) return { kind: "waiting", headline: word("grading"), why: [] };
  const grading = gradingOf(photograph);
  if (grading.predicted_grade === null) return ungradable(grading);
  return grading.referable === null ? undecided(grading) : grading.referable ? refer(grading, model) : stay(grading, model);
}

// No probability is a certainty, whatever two decimals would make of it.
const probability = (value) => (value > 0.99 ? word("more", { value: number(0.99) }) : value < 0.01 ? word("less", { value: number(0.01) }) : number(value));
const sumOf = (grading) => grading.probabilities.slice(2).reduce((a, b) => a + b);
const pointOf = (grading, model) => ({ grade: grading.predicted_grade, sum: probability(sumOf(grading)), threshold: probability(model.referable.threshold) });

function ungradable(grading) {
  const [gravest] = grading.quality_reasons.map(splitReason);
  if (grading.modality === "no fundus" || gravest === undefined) {
    return { kind: "ungradable", headline: word("not_a_fundus"), why: [word("why_repeat", { advice: gravest?.advice ?? "" })] };
  }
  return { kind: "ungradable", headline: word("ungradable", gravest), why: [word("why_repeat", gravest)] };
}

function undecided(grading) {
  return { kind: "undecided", headline: word("undecided", { grade: grading.predicted_grade }), why: [word("why_no_point"), ...reviewed(grading)] };
}

function refer(grading, model) {
  const grade = grading.predicted_grade;
  const retinopathy = grading.referral_reasons.includes("retinopathy");
  const oedema = grading.referral_reasons.includes("macular oedema");
  const why = [];
  if (retinopathy) why.push(word(grade >= 2 ? "why_at" : "why_not_ruled_out", pointOf(grading, model)));
  if (oedema) why.push(word("why_oedema", { probability: probability(grading.oedema_probability), threshold: probability(model.oedema.threshold) }));
  if (grading.vision_threatening) why.push(word("why_threatening"));
  if (grading.oedema && !oedema) why.push(word("why_oedema_apart"));
  const headline = !retinopathy ? word("refer_oedema") : grade < 2 ? word("refer_not_ruled_out") : word(oedema ? "refer_both" : "refer", { grade });
  return { kind: "refer", headline, why: [...why, ...reviewed(grading)] };
}

function stay(grading, model) {
  const grade = grading.predicted_grade;
  const borderline = grade >= 2;
  const why = [word(borderline ? "why_borderline" : "why_below", pointOf(grading, model))];
  if (grading.vision_threatening) why.push(word("why_threatening"));
  if (grading.oedema) why.push(word("why_oedema_apart"));
  why.push(...reviewed(grading));
  if (borderline) return { kind: "review", headline: word("borderline", { grade }), why };
  const needed = grading.needs_review || grading.oedema || grading.vision_threatening;
  return { kind: needed ? "review" : "routine", headline: word(needed ? "check" : "routine", { grade }), why };
}

// The reasons for a review, but the one that the headline of a borderline photograph gives already.
function reviewed(grading) {
  const reasons = grading.review_reasons.filter((reason) => !reason.startsWith("below the threshold of referral"))
    .map((reason) => reviewReason(reason, grading));
  return reasons.length > 0 ? [word("why_review", { reasons })] : [];
}

const REVIEW_KINDS = ["uncertain grade", "clinical rules", "named as", "too small", "gate would refuse it", "photographs of several patients"];

// A reason for a review in the page's language; each begins with its kind.
function reviewReason(text, grading) {
  const kind = REVIEW_KINDS.find((each) => text.startsWith(each));
  const facts = { text, numbers: text.match(/\d+/g) ?? [], left: text.startsWith("named as a left"), confidence: probability(grading.confidence) };
  return kind ? member("review_reasons", kind, facts) : text;
}

// A reason of the gate and its advice: "blurred: focus again".
export function splitReason(description) {
  const [reason, advice = ""] = description.split(": ", 2);
  const translated = member("advices", reason);
  return { reason: member("reasons", reason), advice: translated === reason ? advice : translated };
}

// Both eyes together, by the same rule as the studies of the grader: an eye without a grade does not count as healthy.
export function overall(photographs, model) {
  if (!model || photographs.some(({ result, error }) => !result && error === undefined)) return { kind: "waiting", headline: word("overall_waiting") };
  if (photographs.some(({ concealed }) => concealed)) return { kind: "concealed", headline: word("concealed") };
  const side = ({ eye }) => member("side", eye);
  const sides = (chosen) => [...new Set(chosen.map(side))];
  const graded = photographs.filter(({ result }) => result && result.grading.predicted_grade !== null);
  const kinds = new Map(photographs.map((photograph) => [photograph, verdict(photograph, model).kind]));
  const refer = graded.filter((photograph) => kinds.get(photograph) === "refer");
  const unnamed = graded.some(({ eye }) => eye === ""); // such a photograph may show either eye
  const missing = ["R", "L"].filter((eye) => !graded.some((photograph) => photograph.eye === eye)).map((eye) => member("side", eye));
  const urgent = graded.some(({ result }) => result.grading.vision_threatening);
  if (refer.length > 0) return { kind: "refer", headline: word("overall_refer", { eyes: sides(refer), missing, unnamed, urgent }) };
  if (graded.length === 0 && photographs.length === 1) return verdict(photographs[0], model);
  const review = graded.filter((photograph) => kinds.get(photograph) === "review");
  if (review.length > 0) return { kind: "review", headline: word("overall_review", { eyes: sides(review), missing, unnamed }) };
  if (missing.length > 0) return { kind: "ungradable", headline: word("overall_missing", { eyes: missing, unnamed }) };
  return model.referable ? { kind: "routine", headline: word("overall_routine") } : { kind: "undecided", headline: word("overall_none") };
}

export const worst = (kinds) => ORDER.find((kind) => kinds.includes(kind)) ?? "waiting";

// What is known of the grader on photographs of other clinics, in one line.
export function elsewhere(model) {
  const measured = model.elsewhere ?? [];
  const lines = measured.length === 0 ? [word("elsewhere_none")] : measured.map(({ place, photographs, metrics }) => word("elsewhere", {
    place, photographs, metrics: Object.entries(metrics).map(([name, { value }]) => `${name.replaceAll("_", " ")} ${value === null ? "–" : number(value, 3)}`).join(", ") }));
  const changed = model.history.at(-1);
  return [...lines, ...(changed ? [word("adapted", { date: day(changed.date.slice(0, 10)) })] : [])].join(" · ");
}

// The counted lesions by quadrant; none for a grader that counts none, and for a photograph without a grade.
export function counts(grading) {
  if (grading.predicted_grade === null) return [];
  return ["microaneurysms", "haemorrhages", "hard_exudates", "soft_exudates"].filter((kind) => grading[kind] !== null)
    .map((kind) => ({ kind, count: grading[kind], quadrants: grading[`${kind}_quadrants`] }));
}

// The risk of macular oedema. The most probable one may be 0 while the probability of any exceeds the threshold.
function oedemaSentence(grading, model) {
  const facts = { risk: grading.oedema_risk, probability: probability(grading.oedema_probability) };
  if (grading.oedema && grading.oedema_risk === 0) return word("oedema_doubt", { ...facts, threshold: probability(model.oedema.threshold) });
  return word("oedema_risk", facts);
}

// The second opinion of the clinical rules, the risk of macular oedema, and the quality: one sentence each.
export function findings(grading, model) {
  const sentences = [];
  if (grading.rule_grade !== null && grading.predicted_grade !== null) {
    sentences.push(word("rules", { grade: grading.rule_grade }));
    if (grading.oedema_risk !== null) sentences.push(oedemaSentence(grading, model));
  }
  if (grading.prediction_set && model.prediction_sets) {
    sentences.push(word("set", { coverage: percent(model.prediction_sets.coverage), grades: grading.prediction_set.map(String) }));
  }
  if (grading.quality !== null) sentences.push(word("quality", { quality: number(grading.quality), level: member("levels", grading.quality_level) }));
  return sentences;
}
