// The page: what is on it, and what happens when somebody does something.

import { table } from "./csv.js";
import { Refused, getModel, grade, present } from "./service.js";
import { SIDE, advice, further, operatingPoint, overall } from "./words.js";

const one = (selector, within = document) => within.querySelector(selector);
const photographs = [];
let model;

async function showModel() {
  try {
    model = await getModel();
  } catch (error) {
    complain(error);
    return;
  }
  one("#model").textContent = `Model ${model.name}, version ${model.version}.`;
  one("#operating-point").textContent = operatingPoint(model);
  one("#use").textContent = model.intended_use;
  one("#limits").replaceChildren(...model.limitations.map((limit) => element("li", limit)));
  const { datasets, photographs: counts } = model.training_data;
  const figures = (measured) => measured && `${measured.photographs} photographs: ${Object.entries(measured.metrics)
    .map(([name, { value }]) => `${name.replaceAll("_", " ")} ${value?.toFixed(3) ?? "undefined"}`).join(", ")}`;
  const facts = {
    "Learnt from": `${datasets.join(", ") || "unknown data sets"} (${Object.entries(counts).map(([split, count]) => `${split} ${count}`).join(", ")})`,
    "On validation photographs": figures(model.validation) ?? "not measured",
    "On test photographs": figures(model.test) ?? "not measured",
    Made: model.created,
  };
  one("#facts").replaceChildren(...Object.entries(facts).flatMap(([name, said]) => [element("dt", name), element("dd", said)]));
  one("#access").hidden = true;
  say("");
}

function complain(error) {
  if (!(error instanceof Refused)) throw error;
  if (error.status === 401) one("#access").hidden = false;
  say(error.message);
}

function say(text) {
  one("#status").textContent = text;
}

function element(name, text) {
  const made = document.createElement(name);
  made.textContent = text;
  return made;
}

function add(files) {
  for (const file of files) {
    const photograph = { file, eye: "", patient: file.name.replace(/\.[^.]*$/, ""), node: one("#photograph").content.firstElementChild.cloneNode(true) };
    photographs.push(photograph);
    fill(photograph);
    send(photograph);
  }
  arrange();
}

function fill(photograph) {
  const { node, file } = photograph;
  one("h4", node).textContent = file.name;
  const [eye, patient] = [one("select", node), one("input.name", node)];
  patient.value = photograph.patient;
  eye.addEventListener("change", () => {
    photograph.eye = eye.value;
    photograph.told = true;
    arrangeSoon();
  });
  patient.addEventListener("change", () => {
    photograph.patient = patient.value.trim();
    photograph.told = true;
    arrangeSoon();
  });
  patient.addEventListener("blur", arrangeSoon);
  one(".remove", node).addEventListener("click", () => {
    photographs.splice(photographs.indexOf(photograph), 1);
    arrange();
    one("#files").focus();
    report();
  });
  const [slider, heat] = [one("input[type=range]", node), one(".heatmap", node)];
  slider.addEventListener("input", () => {
    heat.style.opacity = slider.value / 100;
    slider.setAttribute("aria-valuetext", `${slider.value} %`);
  });
}

async function send(photograph) {
  try {
    if (!model) await showModel();
    photograph.result = await grade(photograph.file);
    photograph.error = undefined;
    show(photograph);
  } catch (error) {
    photograph.error = error.message;
    one(".progress", photograph.node).textContent = "";
    one(".error", photograph.node).textContent = error.message;
    complain(error);
  }
  if (!one("input.name:focus")) arrange(); // else when its user has done
  report();
}

function show(photograph) {
  const { node, result: { grading, pictures } } = photograph;
  if (!photograph.told) { // the user has the last word on which eye, and whose
    photograph.eye = grading.laterality ?? "";
    photograph.patient = grading.study ?? photograph.patient;
    one("select", node).value = photograph.eye;
    one("input.name", node).value = photograph.patient;
  }
  one(".progress", node).textContent = "";
  one(".error", node).textContent = "";
  one(".outcome", node).hidden = false;
  one(".grade", node).textContent = grading.grade === null ? "Not gradable" : `Grade ${grading.grade}: ${grading.label}`;
  const { refer, text } = advice(grading, model);
  one(".advice", node).textContent = text;
  one(".advice", node).classList.toggle("refer", refer);
  one(".warnings", node).replaceChildren(...grading.quality_reasons.map((reason) => element("li", `Quality: ${reason}`)));
  one(".photograph", node).src = pictures.photograph;
  one(".photograph", node).alt = "The photograph as the network saw it";
  one(".slider", node).hidden = pictures.heatmap === null;
  one(".heat-note", node).textContent = pictures.heatmap === null ? "" : "Heat shows what the score of this grade depends on. It is no evidence of reasoning.";
  if (pictures.heatmap) {
    one(".heatmap", node).src = pictures.heatmap;
    one(".heatmap", node).hidden = false;
    one("input[type=range]", node).setAttribute("aria-valuetext", "0 %");
  }
  one("tbody", node).replaceChildren(...grading.probabilities.map((probability, place) => {
    const row = document.createElement("tr");
    row.classList.toggle("given", place === grading.grade);
    const name = element("th", `${place} ${model.grades[place]}`);
    name.scope = "row";
    const bar = document.createElement("meter");
    bar.value = probability;
    bar.ariaHidden = "true"; // the number is beside it
    const cell = document.createElement("td");
    cell.append(bar);
    row.append(name, element("td", probability.toFixed(3)), cell);
    return row;
  }));
  one(".further", node).textContent = further(grading, model);
}

// Puts every photograph under its patient, the right eye on the left as on a chart, and gives the focus back that moving
// takes.
function arrange() {
  const focused = document.activeElement;
  const place = ({ eye }) => ["R", "L", ""].indexOf(eye);
  const patients = Map.groupBy(photographs, ({ patient }) => patient);
  one("#patients").replaceChildren(...[...patients].map(([patient, unordered]) => {
    const theirs = unordered.toSorted((a, b) => place(a) - place(b));
    const section = one("#patient").content.firstElementChild.cloneNode(true);
    one("h3", section).textContent = patient ? `Patient ${patient}` : "Patient not said";
    one(".overall", section).textContent = model ? overall(theirs, model) : "";
    one(".eyes", section).append(...theirs.map(({ node, eye, file }) => {
      one("h4", node).textContent = `${SIDE[eye]}: ${file.name}`;
      return node;
    }));
    return section;
  }));
  one("#results").hidden = photographs.length === 0;
  focused.focus();
}

// When the event that asks for it is over, and the focus where it goes.
function arrangeSoon() {
  setTimeout(arrange);
}

function report() {
  const done = photographs.filter(({ result }) => result).length;
  const failed = photographs.filter(({ error }) => error).length;
  say(`${done} of ${photographs.length} photographs graded${failed ? `, ${failed} could not be` : ""}.`);
}

function download(name, text) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000); // it may not have begun yet
}

one("#files").addEventListener("change", (event) => {
  add(event.target.files);
  event.target.value = ""; // the same file may be chosen again
});
const drop = one("#drop");
for (const kind of ["dragenter", "dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault(); // else the browser would open what is dropped beside the field
    drop.classList.toggle("over", kind === "dragenter" || kind === "dragover");
    if (kind === "drop") add(event.dataTransfer.files);
  });
}
one("#access").addEventListener("submit", async (event) => {
  event.preventDefault();
  present(one("#token").value);
  await showModel();
  photographs.filter(({ result }) => !result).forEach(send);
});
one("#print").addEventListener("click", () => window.print());
window.addEventListener("beforeprint", () => {
  one("#printed").textContent = `Printed ${new Date().toLocaleString()}.`;
});
one("#csv").addEventListener("click", () => download("retinagrade.csv", table(photographs, model.grades)));
one("#clear").addEventListener("click", () => {
  photographs.length = 0;
  arrange();
  say("All removed.");
  one("#files").focus();
});
showModel();
