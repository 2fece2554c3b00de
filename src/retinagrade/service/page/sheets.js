// Paper: one page for each patient.

import { readerGrade } from "./exports.js";
import { element, find, fromTemplate } from "./elements.js";
import { day, moment, number, word } from "./languages.js";
import { draw } from "./outlines.js";
import { counts, elsewhere, overall, verdict } from "./verdict.js";

export function makeSheets(patients, model, reader) {
  return patients.map((patient) => {
    const sheet = fromTemplate("sheet");
    const software = patient.photographs.map(({ result }) => result?.software).find(Boolean);
    const facts = {
      sheet_patient: patient.patient || word("unknown"),
      sheet_examined: patient.examined ? day(patient.examined) : word("date_unknown"),
      sheet_printed: moment(new Date()),
      ...(software ? { sheet_software: software } : {}),
      ...(model ? { sheet_grader: `${model.name} ${model.version}` } : {}),
    };
    find("dl", sheet).append(...Object.entries(facts).flatMap(([key, fact]) => [element("dt", word(key)), element("dd", fact)]));
    find(".overall", sheet).textContent = overall(patient.photographs, model).headline;
    const eyes = patient.photographs.map((photograph) => makeEye(photograph, model, reader));
    const there = new Set(patient.photographs.map(({ eye }) => eye));
    const missing = there.has("") ? [] : ["R", "L"].filter((eye) => !there.has(eye));
    for (const eye of missing) eyes.splice(eye === "R" ? 0 : eyes.length, 0, element("p", word("no_eye", { eye: word("side")[eye] })));
    find(".eyes", sheet).append(...eyes);
    find(".elsewhere", sheet).textContent = model ? elsewhere(model) : "";
    return sheet;
  });
}

function makeEye(photograph, model, reader) {
  const eye = fromTemplate("sheet-eye");
  find("h3", eye).textContent = `${word(`eye_${photograph.eye}`)}: ${photograph.file.name}`;
  const { result } = photograph;
  if (result?.pictures) {
    const { square, photograph: picture } = result.pictures;
    find("img", eye).src = picture;
    const drawing = draw(result);
    drawing.toggleAttribute("hidden", photograph.concealed);
    drawing.setAttribute("viewBox", [square.left, square.top, square.width, square.height].join(" "));
    find(".picture", eye).append(drawing);
  } else {
    find(".picture", eye).remove();
  }
  const said = verdict(photograph, model);
  find(".headline", eye).textContent = said.headline;
  find(".why", eye).textContent = said.why.join(" ");
  find(".lesions", eye).append(...(result && !photograph.concealed ? counts(result.grading) : []).map(({ kind, count }) => {
    const line = element("li");
    const colour = result.pictures?.lesions?.find((each) => each.kind === kind)?.colour ?? "none";
    const sample = element("span", "", "sample");
    sample.style.setProperty("--kind", colour);
    line.append(sample, `${word("kind", { kind })}: ${count}`);
    return line;
  }));
  find(".reading", eye).textContent = describe(photograph, reader);
  return eye;
}

function describe({ reading, result }, reader) {
  if (!reading) return `${word("sheet_reader")}: ${word("sheet_reader_none")}`;
  const grade = readerGrade(reading, result.grading);
  const graded = grade === null ? word("not_gradable") : word("graded", { grade });
  const said = reading.decision === "agree" ? word("sheet_agrees", { grade: graded }) : graded;
  return `${word("sheet_reader")}${reader ? ` (${reader})` : ""}: ${said}${reading.note ? `. ${reading.note}` : ""}`;
}
