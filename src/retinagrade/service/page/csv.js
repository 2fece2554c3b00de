// The CSV table of `retinagrade grade`, with eye and patient from the page.

const KINDS = ["microaneurysms", "haemorrhages", "hard_exudates", "soft_exudates"];
const COLUMNS = ["predicted_grade", "label", "expected_grade", "referable", "vision_threatening", "referral_reasons", "confidence",
  "prediction_set", "needs_review", "gradable", "modality", "centre", "quality", "quality_level", "quality_reasons", "review_reasons", ...KINDS.flatMap((kind) => [kind, `${kind}_area`, `${kind}_quadrants`]),
  "rule_grade", "oedema_probability", "oedema", "oedema_risk", "study", "laterality", "model",
  "grader_digest", "referral", "referable_threshold", "vision_threatening_threshold", "oedema_threshold",
  "graded_at", "seen_before", "path", "digest", "error"];

export function table(photographs, grades) {
  const probabilities = grades.map((_, grade) => `p${grade}`);
  const rows = photographs.map(({ file, eye, patient, result, error }) => {
    const grading = result?.grading ?? { image_id: file.name.replace(/\.[^.]*$/, ""), path: file.name, needs_review: true, error };
    const row = {
      ...grading,
      prediction_set: grading.prediction_set?.join(" "),
      referral_reasons: grading.referral_reasons?.join(", "),
      quality_reasons: grading.quality_reasons?.join(", "),
      review_reasons: grading.review_reasons?.join(", "),
      ...Object.fromEntries(KINDS.map((kind) => [`${kind}_quadrants`, grading[`${kind}_quadrants`]?.join(" ")])),
      study: patient,
      laterality: eye,
    };
    return [row.image_id, ...probabilities.map((_, grade) => row.probabilities?.[grade]), ...COLUMNS.map((name) => row[name])];
  });
  const head = ["image_id", ...probabilities, ...COLUMNS];
  return [head, ...rows].map((cells) => `${cells.map(quote).join(",")}\n`).join("");
}

// A spreadsheet takes no text for a formula that has ' before it.
const FORMULA = /^('*\s*[=+\-@＝＋－＠]|'*[\t\r\n])/;

function quote(value) {
  const text = typeof value === "string" && FORMULA.test(value) ? `'${value}` : String(value ?? "");
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
