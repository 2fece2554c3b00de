// The reader's own decision about a photograph.

import { element, find } from "./elements.js";
import { word } from "./languages.js";

// Fills the form of a decision. `changed` gets the new decision, or null. Where the program's answer is concealed, the form
// has a grade and "not gradable" only, and finds out itself whether the reader agrees.
export function fillDecision(form, photograph, changed) {
  const { concealed } = photograph;
  const { grading } = photograph.result;
  const radios = [...form.querySelectorAll("input[type=radio]")];
  const [select, note, clear] = [find("select", form), find("textarea", form), find(".clear", form)];
  for (const radio of radios) radio.name = `decision-${photograph.id}`;
  find(".agree", form).textContent = grading.predicted_grade === null ? word("agree_ungradable") : word("agree", { grade: grading.predicted_grade });
  find(".other", form).textContent = word(grading.predicted_grade === null ? "give_grade" : "other_grade");
  find(".no-grade", form).hidden = grading.predicted_grade === null && !concealed; // to agree says the same
  for (const each of form.querySelectorAll(".choice:not(.no-grade)")) each.hidden = concealed;
  const options = [0, 1, 2, 3, 4].map((grade) => Object.assign(element("option", `${grade} ${word("grade_short", { grade })}`),
    { value: grade, disabled: grade === grading.predicted_grade && !concealed }));
  select.replaceChildren(...(concealed ? [Object.assign(element("option", "–"), { value: -1 })] : []), ...options);

  const show = () => {
    const { reading } = photograph;
    for (const radio of radios) radio.checked = radio.value === reading?.decision;
    select.value = reading?.grade ?? -1;
    find(".which", form).hidden = reading?.decision !== "other grade" && !concealed;
    note.value = reading?.note ?? "";
    find(".further", form).hidden = !reading;
  };
  const decide = (reading) => {
    const agreed = concealed && agrees(reading, grading) ? { decision: "agree", grade: null } : {};
    changed(reading && { ...reading, ...agreed, saw_result: !concealed, decided_at: new Date().toISOString() });
    show();
  };
  for (const radio of radios) {
    radio.addEventListener("change", () => {
      const grade = radio.value === "other grade" ? nearest(grading) : null;
      decide({ decision: radio.value, grade, note: note.value.trim() });
    });
  }
  select.addEventListener("change", () => {
    if (Number(select.value) >= 0) decide({ note: "", ...photograph.reading, decision: "other grade", grade: Number(select.value) });
  });
  note.addEventListener("change", () => changed({ ...photograph.reading, note: note.value.trim().slice(0, note.maxLength) }));
  clear.addEventListener("click", () => {
    decide(null);
    radios[0].focus();
  });
  show();
}

const agrees = ({ decision, grade }, grading) => (decision === "not gradable" ? null : grade) === grading.predicted_grade;

// A grade to begin with: the reader sees it, and changes it.
const nearest = ({ predicted_grade: grade }) => (grade === null ? 0 : grade === 0 ? 1 : grade - 1);
