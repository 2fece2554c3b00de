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
  select.replaceChildren(Object.assign(element("option", "–"), { value: -1 }), ...options);
  let choosing = false; // "another grade", but not yet which: nothing is decided until the reader says it
  let draft = "";

  const show = () => {
    const { reading } = photograph;
    for (const radio of radios) radio.checked = radio.value === (choosing ? "other grade" : reading?.decision);
    select.value = reading?.grade ?? -1;
    find(".which", form).hidden = !choosing && reading?.decision !== "other grade" && !concealed;
    note.value = reading?.note ?? "";
    find(".further", form).hidden = !reading;
  };
  const decide = (reading) => {
    choosing = false;
    const agreed = concealed && agrees(reading, grading) ? { decision: "agree", grade: null } : {};
    changed(reading && { ...reading, ...agreed, saw_result: !concealed, decided_at: new Date().toISOString() });
    show();
  };
  for (const radio of radios) {
    radio.addEventListener("change", () => {
      const text = note.value.trim();
      if (radio.value !== "other grade") {
        decide({ decision: radio.value, grade: null, note: text });
        return;
      }
      if (photograph.reading) changed(null);
      [choosing, draft] = [true, text];
      show();
      select.focus();
    });
  }
  select.addEventListener("change", () => {
    if (Number(select.value) >= 0) decide({ note: draft, ...photograph.reading, decision: "other grade", grade: Number(select.value) });
  });
  note.addEventListener("change", () => changed({ ...photograph.reading, note: note.value.trim().slice(0, note.maxLength) }));
  clear.addEventListener("click", () => {
    decide(null);
    radios[0].focus();
  });
  show();
}

const agrees = ({ decision, grade }, grading) => (decision === "not gradable" ? null : grade) === grading.predicted_grade;
