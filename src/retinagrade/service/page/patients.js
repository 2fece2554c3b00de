// The patients of the photographs.

const order = ({ eye }) => ["R", "L", ""].indexOf(eye);

// Marks the photographs of each study in DICOM that names several patients: somebody has made a mistake, and nobody knows
// whose eyes they show. The service marks those of one request; the page sends each photograph alone.
export function markMixed(photographs) {
  const studies = Map.groupBy(photographs.filter(({ result }) => result?.grading.patient), ({ result }) => result.grading.study);
  for (const photograph of photographs) {
    const members = studies.get(photograph.result?.grading.study) ?? [];
    photograph.mixed = new Set(members.map(({ result }) => result.grading.patient)).size > 1;
  }
}

// The grading of a photograph; that of a mixed study needs a person's review.
export function gradingOf({ result: { grading }, mixed }) {
  if (!mixed || grading.predicted_grade === null) return grading;
  return { ...grading, needs_review: true, review_reasons: [...grading.review_reasons, MIXED] };
}

const MIXED = "photographs of several patients (PatientID) in its study"; // the reason's name in Python

// Groups photographs by patient and, where a patient came on several days, by day. A photograph whose patient is
// unknown belongs to its study, or stands alone: two strangers are not one patient. The right eye stands first.
export function group(photographs) {
  const groups = new Map();
  const days = Map.groupBy(photographs.filter(({ patient, examined }) => patient && examined), ({ patient }) => patient);
  for (const photograph of photographs) {
    const { patient, id } = photograph;
    const several = new Set((days.get(patient) ?? []).map(({ examined }) => examined));
    const date = several.size > 1 ? photograph.examined || [...several].sort()[0] : "";
    const study = photograph.result?.grading.study;
    const key = patient ? `patient ${patient} ${date}` : study ? `study ${study}` : `photograph ${id}`;
    groups.set(key, [...(groups.get(key) ?? []), photograph]);
  }
  return [...groups].map(([key, members]) => ({
    key,
    patient: members[0].patient,
    examined: members.map(({ examined }) => examined).find(Boolean) ?? "",
    photographs: members.toSorted((a, b) => order(a) - order(b)),
  }));
}
