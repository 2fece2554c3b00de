// The page: it shows photographs and results, and handles events.

import { table } from "./csv.js";
import { ServiceError, getModel, grade, setToken } from "./service.js";
import { drawOutlines } from "./outlines.js";
import { SIDE, advice, findings, further, gradeName, operatingPoint, overall, shortGradeName } from "./words.js";

const find = (selector, within = document) => within.querySelector(selector);
const photographs = [];
let model;

async function showModel() {
  try {
    model = await getModel();
  } catch (error) {
    showError(error);
    return;
  }
  find("#model").textContent = `Model ${model.name}, version ${model.version}.`;
  find("#operating-point").textContent = operatingPoint(model);
  find("#use").textContent = model.intended_use;
  find("#limits").replaceChildren(...model.limitations.map((text) => element("li", text)));
  const { datasets, photographs: counts } = model.training_data;
  const metrics = (measured) => measured && `${measured.photographs} photographs: ${Object.entries(measured.metrics)
    .map(([name, { value }]) => `${name.replaceAll("_", " ")} ${value?.toFixed(3) ?? "undefined"}`).join(", ")}`;
  const facts = {
    "Training data": `${datasets.join(", ") || "unknown data sets"} (${Object.entries(counts).map(([split, count]) => `${split} ${count}`).join(", ")})`,
    "Metrics on validation photographs": metrics(model.validation) ?? "not measured",
    "Metrics on test photographs": metrics(model.test) ?? "not measured",
    Created: model.created,
  };
  find("#facts").replaceChildren(...Object.entries(facts).flatMap(([name, fact]) => [element("dt", name), element("dd", fact)]));
  find("#access").hidden = true;
  showStatus("");
}

function showError(error) {
  if (!(error instanceof ServiceError)) throw error;
  if (error.status === 401) find("#access").hidden = false;
  showStatus(error.message);
}

function showStatus(text) {
  find("#status").textContent = text;
}

function element(name, text) {
  const created = document.createElement(name);
  created.textContent = text;
  return created;
}

function add(files) {
  for (const file of files) {
    const photograph = { file, eye: "", patient: file.name.replace(/\.[^.]*$/, ""), node: find("#photograph").content.firstElementChild.cloneNode(true) };
    photographs.push(photograph);
    fill(photograph);
    send(photograph);
  }
  arrange();
}

function fill(photograph) {
  const { node, file } = photograph;
  find("h4", node).textContent = file.name;
  const [eye, patient] = [find("select", node), find("input.name", node)];
  patient.value = photograph.patient;
  eye.addEventListener("change", () => {
    photograph.eye = eye.value;
    photograph.edited = true;
    arrangeSoon();
  });
  patient.addEventListener("change", () => {
    photograph.patient = patient.value.trim();
    photograph.edited = true;
    arrangeSoon();
  });
  patient.addEventListener("blur", arrangeSoon);
  find(".remove", node).addEventListener("click", () => {
    photographs.splice(photographs.indexOf(photograph), 1);
    arrange();
    find("#files").focus();
    showProgress();
  });
  const [slider, overlay] = [find("input[type=range]", node), find(".saliency", node)];
  slider.addEventListener("input", () => {
    overlay.style.opacity = slider.value / 100;
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
    find(".progress", photograph.node).textContent = "";
    find(".error", photograph.node).textContent = error.message;
    showError(error);
  }
  if (!find("input.name:focus")) arrange(); // else arrange() follows when its user leaves the field
  showProgress();
}

function show(photograph) {
  const { node, result: { grading, pictures } } = photograph;
  if (!photograph.edited) { // the user's own entries take precedence
    photograph.eye = grading.laterality ?? "";
    photograph.patient = grading.study ?? photograph.patient;
    find("select", node).value = photograph.eye;
    find("input.name", node).value = photograph.patient;
  }
  find(".progress", node).textContent = "";
  find(".error", node).textContent = "";
  find(".outcome", node).hidden = false;
  find(".grade", node).textContent = grading.predicted_grade === null ? "Ungradable" : `Grade ${grading.predicted_grade}: ${gradeName(grading.predicted_grade)}`;
  const { refer, text } = advice(grading, model);
  find(".advice", node).textContent = text;
  find(".advice", node).classList.toggle("refer", refer);
  find(".warnings", node).replaceChildren(...grading.quality_reasons.map((reason) => element("li", `Quality: ${reason}`)));
  find(".photograph", node).src = pictures.photograph;
  find(".photograph", node).alt = "The photograph as the network saw it";
  find(".slider", node).hidden = pictures.saliency === null;
  find(".saliency-note", node).textContent = pictures.saliency === null ? "" : "The colours show the regions that the score of this grade depends on. They do not explain the grade.";
  find(".findings", node).replaceChildren(...findings(grading).map((text) => element("li", text)));
  const outlined = pictures.lesions !== null;
  find(".outlines", node).toggleAttribute("hidden", !outlined);
  find(".kinds", node).hidden = !outlined;
  if (outlined) {
    const legend = find("legend", node);
    find(".kinds", node).replaceChildren(legend, ...drawOutlines(find(".outlines", node), pictures, grading));
    find(".saliency-note", node).textContent = "The outlines show what the program takes for lesions. It may miss some and invent others.";
  }
  if (pictures.saliency) {
    find(".saliency", node).src = pictures.saliency;
    find(".saliency", node).hidden = false;
    find("input[type=range]", node).setAttribute("aria-valuetext", "0 %");
  }
  find("tbody", node).replaceChildren(...grading.probabilities.map((probability, index) => {
    const row = document.createElement("tr");
    row.classList.toggle("predicted", index === grading.predicted_grade);
    const name = element("th", `${index} ${shortGradeName(index)}`);
    name.scope = "row";
    const bar = document.createElement("meter");
    bar.value = probability;
    bar.ariaHidden = "true"; // the number is beside it
    const cell = document.createElement("td");
    cell.append(bar);
    row.append(name, element("td", probability.toFixed(3)), cell);
    return row;
  }));
  find(".further", node).textContent = further(grading, model);
}

// Puts every photograph under its patient, the right eye on the left as on a chart. Moving an element removes the
// focus, so the focus is restored.
function arrange() {
  const focused = document.activeElement;
  const order = ({ eye }) => ["R", "L", ""].indexOf(eye);
  const patients = Map.groupBy(photographs, ({ patient }) => patient);
  find("#patients").replaceChildren(...[...patients].map(([patient, unordered]) => {
    const ordered = unordered.toSorted((a, b) => order(a) - order(b));
    const section = find("#patient").content.firstElementChild.cloneNode(true);
    find("h3", section).textContent = patient ? `Patient ${patient}` : "Patient unknown";
    find(".overall", section).textContent = model ? overall(ordered, model) : "";
    find(".eyes", section).append(...ordered.map(({ node, eye, file }) => {
      find("h4", node).textContent = `${SIDE[eye]}: ${file.name}`;
      return node;
    }));
    return section;
  }));
  find("#results").hidden = photographs.length === 0;
  focused.focus();
}

// Arranges after the current event, when the focus has moved.
function arrangeSoon() {
  setTimeout(arrange);
}

function showProgress() {
  const done = photographs.filter(({ result }) => result).length;
  const failed = photographs.filter(({ error }) => error).length;
  showStatus(`${done} of ${photographs.length} photographs graded${failed ? `, ${failed} failed` : ""}.`);
}

function download(name, text) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000); // the download may not have started yet
}

find("#files").addEventListener("change", (event) => {
  add(event.target.files);
  event.target.value = ""; // so that the same file can be chosen again
});
const drop = find("#drop");
for (const kind of ["dragenter", "dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault(); // else the browser would open a file that is dropped beside the field
    drop.classList.toggle("over", kind === "dragenter" || kind === "dragover");
    if (kind === "drop") add(event.dataTransfer.files);
  });
}
find("#access").addEventListener("submit", async (event) => {
  event.preventDefault();
  setToken(find("#token").value);
  await showModel();
  photographs.filter(({ result }) => !result).forEach(send);
});
find("#print").addEventListener("click", () => window.print());
window.addEventListener("beforeprint", () => {
  find("#printed").textContent = `Printed ${new Date().toLocaleString()}.`;
});
find("#csv").addEventListener("click", () => download("retinagrade.csv", table(photographs, model.grades)));
find("#clear").addEventListener("click", () => {
  photographs.length = 0;
  arrange();
  showStatus("All photographs removed.");
  find("#files").focus();
});
showModel();
