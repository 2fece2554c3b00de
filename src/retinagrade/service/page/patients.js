// The patients of the photographs.

const order = ({ eye }) => ["R", "L", ""].indexOf(eye);

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
