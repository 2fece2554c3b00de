// Results and decisions as tables: CSV and JSON Lines. `retinagrade validate --labels` takes both: `grade` is the
// reader's. The program's risk of macular oedema gets another name, since a table of labels has the reader's under it.

import { gradingOf } from "./patients.js";

const PREDICTED = { oedema_risk: "predicted_oedema_risk" };

export function rows(photographs, reader) {
  return photographs.map((photograph) => {
    const { file, eye, patient, examined, result, error, reading } = photograph;
    const grading = result ? gradingOf(photograph) : { image_id: stem(file.name), path: file.name, predicted_grade: null, error };
    const { image_id, probabilities, ...facts } = grading;
    return {
      image_id,
      grade: readerGrade(reading, grading),
      patient_id: patient,
      examined_on: examined,
      reader: reading ? reader : "",
      reader_decision: reading?.decision ?? "",
      reader_saw_result: reading ? reading.saw_result ?? true : "",
      reader_note: reading?.note ?? "",
      reader_decided_at: reading?.decided_at ?? "",
      ...Object.fromEntries((probabilities ?? []).map((probability, grade) => [`p${grade}`, probability])),
      ...Object.fromEntries(Object.entries(facts).map(([name, value]) => [PREDICTED[name] ?? name, value])),
      laterality: eye,
      needs_review: grading.needs_review ?? true,
    };
  });
}

// The reader's grade; null where nobody decided, or the reader finds the photograph not gradable.
export function readerGrade(reading, grading) {
  return reading?.decision === "agree" ? grading.predicted_grade : reading?.grade ?? null;
}

export function jsonLines(photographs, reader) {
  return rows(photographs, reader).map((row) => `${JSON.stringify(row)}\n`).join("");
}

export function csv(photographs, reader) {
  const all = rows(photographs, reader);
  const head = [...new Set(all.flatMap(Object.keys))];
  return [head, ...all.map((row) => head.map((name) => row[name]))].map((cells) => `${cells.map(quote).join(",")}\n`).join("");
}

export function download(name, content, type) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([content], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000); // the download may not have started yet
}

const stem = (name) => name.replace(/\.[^.]*$/, "");

// A spreadsheet takes no text for a formula that has ' before it.
const FORMULA = /^('*\s*[=+\-@＝＋－＠]|'*[\t\r\n])/;

function quote(value) {
  if (Array.isArray(value)) return quote(value.join(value.some((each) => typeof each === "string") ? ", " : " "));
  const text = typeof value === "string" && FORMULA.test(value) ? `'${value}` : String(value ?? "");
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
