// The page: it holds the photographs, and joins the list of patients, the panes, and what its user does.

import { describeModel } from "./about.js";
import { csv, download, jsonLines } from "./exports.js";
import { element, find, fromTemplate, icon } from "./elements.js";
import * as kept from "./kept.js";
import { day, language, languages, setLanguage, translate, word } from "./languages.js";
import { Pane } from "./pane.js";
import { isOutlined } from "./outlines.js";
import { group, markMixed } from "./patients.js";
import { ServiceError, getModel, getReport, grade, setToken } from "./service.js";
import { makeSheets } from "./sheets.js";
import { elsewhere, overall, verdict } from "./verdict.js";
import { lock, steer } from "./viewer.js";

const VIEWS = ["colour", "red-free", "contrast"];

let photographs = [];
let model;
let shown; // key of the patient on the page
let undo; // what brings back what was removed last
let unsaved = false; // whether decisions were entered after the last export
let printed; // key of the one patient to print
const tools = { view: "colour", outlines: true, locked: false, blind: kept.isBlind() };
let numbered = 0;

// The model, and the frame of the page.

// Returns whether the service has answered.
async function loadModel() {
  try {
    model = await getModel();
  } catch (error) {
    showError(error);
    if (!model) find("#model").textContent = "";
    return false;
  }
  find("#access").hidden = true;
  showModel();
  say("");
  remind();
  return true;
}

function showModel() {
  find("#about").hidden = !model;
  if (!model) return;
  find("#model").textContent = word("grader", model);
  find("#elsewhere").textContent = elsewhere(model);
  find("#card").replaceChildren(...describeModel(model));
}

function say(text, action) {
  find("#status").textContent = text;
  const button = find("#act");
  button.hidden = action === undefined;
  if (action === undefined) return;
  button.textContent = action.label;
  button.onclick = action.act;
}

function showError(error) {
  if (!(error instanceof ServiceError)) throw error;
  if (error.status === 401) find("#access").hidden = false;
  say(error.message);
}

function remind() {
  const count = Object.keys(kept.readings()).length;
  if (count === 0 || photographs.length > 0) return;
  say(word("kept_before", { count }), { label: word("forget"), act: () => {
    kept.forgetReadings();
    say(word("forgotten"));
    find("#files").focus();
  } });
}

// Photographs.

function add(files) {
  const added = [...files].map((file) => {
    const photograph = { id: (numbered += 1), file, eye: "", patient: "", examined: "", edited: new Set(), reading: null, concealed: false };
    photograph.pane = new Pane(photograph, { identity: rearrange, remove: (each) => remove([each]), decided, key: press });
    return photograph;
  });
  photographs.push(...added);
  undo = undefined;
  render();
  showProgress();
  added.forEach(send);
}

async function send(photograph) {
  try {
    if (!model) await loadModel();
    photograph.isDicom = await photograph.file.slice(128, 132).text() === "DICM";
    photograph.result = await grade(photograph.file);
    photograph.error = photograph.held = undefined;
    take(photograph);
  } catch (error) {
    // Without a token, the service has not looked at the photograph: it waits, and nothing is wrong with it.
    photograph[error.status === 401 ? "held" : "error"] = error.message;
    if (error.photograph) takeFacts(photograph, error.photograph);
    if (!(error instanceof ServiceError) || [0, 401].includes(error.status)) showError(error);
  }
  if (photographs.includes(photograph)) render();
  showProgress();
}

// Takes over what the result says about eye, patient and date; the user's own entries take precedence.
function take(photograph) {
  const { grading } = photograph.result;
  const twin = photographs.find((each) => each !== photograph && each.result && each.result.grading.digest === grading.digest);
  if (twin) {
    photographs = photographs.filter((each) => each !== photograph);
    setTimeout(() => say(word("same_photograph", { name: photograph.file.name, other: twin.file.name })));
    return;
  }
  takeFacts(photograph, photograph.result);
  photograph.reading = kept.readings()[grading.digest] ?? null;
}

function takeFacts(photograph, { grading, patient_id: patient, examined_on: examined }) {
  for (const [name, value] of Object.entries({ eye: grading.laterality, patient, examined })) {
    if (!photograph.edited.has(name)) photograph[name] = value ?? photograph[name];
  }
}

function remove(chosen) {
  const before = [...photographs];
  const gone = [...chosen];
  for (const { pane } of gone) pane.close();
  photographs = photographs.filter((each) => !gone.includes(each));
  render();
  undo = { label: word("undo"), act: () => {
    undo = undefined;
    photographs = before;
    render();
    say(word("restored"));
    find("#patients button")?.focus();
  } };
  say(word("removed", { count: gone.length }), undo);
  find("#act").focus();
}

function decided(photograph, reading) {
  const { concealed } = photograph;
  photograph.reading = reading;
  kept.keepReading(photograph.result.grading.digest, reading);
  unsaved = true;
  if (!concealed) {
    renderList();
    return;
  }
  render(); // the answer appears
  find(".decision input:checked", photograph.pane.node).focus();
}

// A photograph whose patient changed takes its user along.
function rearrange(photograph) {
  shown = group(photographs).find((patient) => patient.photographs.includes(photograph)).key;
  render();
}

function showProgress() {
  if (photographs.length === 0) return;
  const held = photographs.find((photograph) => photograph.held !== undefined);
  if (held) {
    say(held.held, undo);
    return;
  }
  const done = photographs.filter(({ result }) => result).length;
  const ungraded = photographs.filter(({ result }) => result?.grading.predicted_grade === null).length;
  const failed = photographs.filter(({ error }) => error !== undefined).length;
  say(word("progress", { done: done - ungraded, total: photographs.length, ungraded, failed }), undo);
}

// What is on the page.

function render() {
  markMixed(photographs);
  const patients = group(photographs);
  photographs.filter(({ result }) => result).forEach(conceal);
  if (!patients.some(({ key }) => key === shown)) shown = (patients.find((each) => each.photographs.some(({ id }) => id === render.id)) ?? patients[0])?.key;
  const patient = patients.find(({ key }) => key === shown);
  render.id = patient?.photographs[0].id; // a result may give the patient another name
  document.body.classList.toggle("empty", photographs.length === 0);
  find("#desk").hidden = photographs.length === 0;
  find("#exports").hidden = photographs.length === 0;
  renderList(patients);
  for (const { pane } of photographs.filter((each) => !patient?.photographs.includes(each))) pane.close();
  if (patient) renderPatient(patient);
}

// Conceals the program's answer where its user wants to decide first, and has not seen it yet.
function conceal(photograph) {
  const { digest } = photograph.result.grading;
  if (!tools.blind || photograph.reading) kept.keepSeen(digest);
  photograph.concealed = !kept.isSeen(digest);
}

function renderList(patients = group(photographs)) {
  const focused = document.activeElement?.dataset?.key;
  find("#patients").replaceChildren(...patients.map((patient) => {
    const item = element("li");
    const button = element("button");
    button.type = "button";
    Object.assign(button.dataset, { key: patient.key });
    button.setAttribute("aria-current", String(patient.key === shown));
    const said = overall(patient.photographs, model);
    const eyes = element("span", "", "dots");
    eyes.append(...patient.photographs.map((photograph) => {
      const dot = element("span", word(`short_${photograph.eye}`), "dot");
      dot.dataset.kind = verdict(photograph, model).kind;
      return dot;
    }));
    const decisions = patient.photographs.filter(({ reading }) => reading).length;
    const more = [patient.examined ? day(patient.examined) : word("date_unknown"),
      ...(decisions > 0 ? [word("decided", { done: decisions, total: patient.photographs.length })] : [])].join(" · ");
    const text = element("span", "", "text");
    text.append(element("strong", nameOf(patient)), element("span", said.headline, "said"), element("span", more, "more"));
    button.append(eyes, text);
    button.addEventListener("click", () => choose(patient.key));
    item.append(button);
    return item;
  }));
  if (focused !== undefined) find(`#patients [data-key="${CSS.escape(focused)}"]`)?.focus();
}

const nameOf = ({ patient, photographs: [first] }) => patient || `${word("patient_unknown")} (${first.file.name})`;

function renderPatient(patient) {
  const said = overall(patient.photographs, model);
  find("#name").textContent = patient.patient ? word("patient", { id: patient.patient }) : word("patient_unknown");
  find("#date").textContent = patient.examined ? day(patient.examined) : word("date_unknown");
  const banner = find("#overall");
  banner.dataset.kind = said.kind;
  banner.replaceChildren(icon(said.kind), element("span", said.headline));
  find("#report").hidden = studies(patient).length === 0;
  find("[data-tool=outlines]").hidden = !patient.photographs.some(({ result }) => result && isOutlined(result));
  const focused = document.activeElement;
  const panes = patient.photographs.map(({ pane }) => pane);
  for (const pane of panes) pane.update(model);
  const there = new Set(patient.photographs.map(({ eye }) => eye));
  const nodes = panes.map(({ node }) => node);
  // One eye alone: a placeholder in the place of the other one.
  if (!there.has("") && there.size === 1) nodes.splice(there.has("R") ? nodes.length : 0, 0, placeholder(there.has("R") ? "L" : "R"));
  const box = find("#panes");
  // Elements that stay are not moved: moving one removes the focus and the scroll.
  if (nodes.length !== box.childElementCount || nodes.some((node, index) => box.children[index] !== node)) box.replaceChildren(...nodes);
  if (focused !== document.activeElement && focused?.isConnected) focused.focus();
  for (const pane of panes) pane.open(tools);
}

function placeholder(eye) {
  const node = fromTemplate("missing");
  find("strong", node).textContent = word("no_eye", { eye: word("side")[eye] });
  return node;
}

function choose(key) {
  shown = key;
  render();
  find("main").scrollTo?.(0, 0);
}

// Tools of the viewers, by button and by key.

const onPage = () => photographs.map(({ pane }) => pane).filter(({ viewer }) => viewer);

function setView(view) {
  tools.view = view;
  for (const button of document.querySelectorAll("[data-view]:is(button)")) button.setAttribute("aria-pressed", String(button.dataset.view === view));
  for (const { viewer } of onPage()) viewer.setView(view);
}

const actions = {
  in: () => steer((viewer) => viewer.zoomBy(1.5)),
  out: () => steer((viewer) => viewer.zoomBy(1 / 1.5)),
  fit: () => steer((viewer) => viewer.fit()),
  full: () => steer((viewer) => viewer.full()),
  lock: () => {
    tools.locked = !tools.locked;
    lock(tools.locked);
    find("[data-tool=lock]").setAttribute("aria-pressed", String(tools.locked));
    if (tools.locked) steer((viewer) => viewer.fit());
  },
  outlines: () => {
    tools.outlines = !tools.outlines;
    find("[data-tool=outlines]").setAttribute("aria-pressed", String(tools.outlines));
    onPage().forEach((pane) => pane.showOutlines(tools.outlines));
  },
};

function press(key) {
  if (key === "v") setView(VIEWS[(VIEWS.indexOf(tools.view) + 1) % VIEWS.length]);
  if (key === "o") actions.outlines();
  if (key === "l") actions.lock();
}

// Exports, reports and paper.

const stamp = () => new Date().toISOString().slice(0, 10);

function exportAs(kind) {
  const reader = find("#reader").value.trim();
  if (kind === "csv") download(`retinagrade ${stamp()}.csv`, csv(photographs, reader), "text/csv");
  else download(`retinagrade ${stamp()}.jsonl`, jsonLines(photographs, reader), "application/jsonl");
  unsaved = false;
}

// The DICOM photographs of a patient, by study.
function studies(patient) {
  const dicom = patient.photographs.filter(({ isDicom, result }) => isDicom && result);
  return [...Map.groupBy(dicom, ({ result }) => result.grading.study).values()];
}

async function makeReports() {
  const patient = group(photographs).find(({ key }) => key === shown);
  if (patient.photographs.some(({ mixed }) => mixed)) {
    say(word("report_mixed"));
    return;
  }
  const name = find("#reader").value.trim();
  if (name === "" && patient.photographs.some(({ reading }) => reading)) {
    say(word("report_needs_name"));
    find("#reader").focus();
    return;
  }
  try {
    for (const members of studies(patient)) {
      const readings = members.map(({ reading }) => reading && { decision: reading.decision, grade: reading.grade, note: reading.note });
      const reader = name === "" ? null : { name, readings };
      download(`report ${patient.patient || "unknown"}.dcm`, await getReport(members.map(({ file }) => file), reader), "application/dicom");
    }
    say(word("report_made"));
  } catch (error) {
    showError(error);
  }
}

function prepareSheets() {
  const patients = group(photographs).filter(({ key }) => printed === undefined || key === printed);
  find("#sheets").replaceChildren(...makeSheets(patients, model, find("#reader").value.trim()));
}

async function print(key) {
  printed = key;
  prepareSheets();
  await Promise.all([...find("#sheets").querySelectorAll("img")].map((image) => image.decode().catch(() => {})));
  window.print();
  printed = undefined;
}

// Languages.

function speak(code) {
  setLanguage(code);
  document.documentElement.lang = code;
  translate(document);
  find("#steps").replaceChildren(...word("welcome_steps").map((text) => element("li", text)));
  find("#languages").value = code;
  showModel();
  for (const { pane } of photographs) pane.reword(model);
  render();
  if (photographs.length > 0) showProgress();
  else say("");
}

// Events.

find("#files").addEventListener("change", (event) => {
  add(event.target.files);
  event.target.value = ""; // so that the same file can be chosen again
});
for (const kind of ["dragenter", "dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault(); // else the browser would open a file that is dropped beside the field
    find("#drop").classList.toggle("over", kind === "dragenter" || kind === "dragover");
    if (kind === "drop") add(event.dataTransfer.files);
  });
}
find("#access").addEventListener("submit", async (event) => {
  event.preventDefault();
  setToken(find("#token").value);
  if (!await loadModel()) {
    find("#token").select();
    return;
  }
  for (const photograph of photographs.filter(({ result }) => !result)) {
    photograph.error = photograph.held = undefined;
    send(photograph);
  }
  render();
});
for (const button of document.querySelectorAll("[data-tool]")) button.addEventListener("click", () => actions[button.dataset.tool]());
for (const button of document.querySelectorAll("button[data-view]")) button.addEventListener("click", () => setView(button.dataset.view));
for (const button of document.querySelectorAll("[data-export]")) button.addEventListener("click", () => exportAs(button.dataset.export));
find("#report").addEventListener("click", makeReports);
find("#print").addEventListener("click", () => print(shown));
find("#print-all").addEventListener("click", () => print(undefined));
window.addEventListener("beforeprint", prepareSheets);
find("#clear").addEventListener("click", () => remove(photographs));
find("#about").addEventListener("click", () => find("#card-dialog").showModal());
find("#card-close").addEventListener("click", () => find("#card-dialog").close());
find("#blind").checked = tools.blind;
find("#blind").addEventListener("change", ({ target }) => {
  tools.blind = target.checked;
  kept.keepBlind(tools.blind);
  render();
});
find("#reader").value = kept.reader();
find("#reader").addEventListener("change", (event) => kept.keepReader(event.target.value.trim()));
// A popover closes by Escape, and when its user goes elsewhere.
document.addEventListener("keydown", ({ key }) => {
  const open = key === "Escape" && document.activeElement?.closest(".popover[open]");
  if (!open) return;
  open.open = false;
  find("summary", open).focus();
});
document.addEventListener("pointerdown", ({ target }) => {
  for (const each of document.querySelectorAll(".popover[open]")) if (!each.contains(target)) each.open = false;
});
window.addEventListener("beforeunload", (event) => {
  if (unsaved) event.preventDefault();
});
find("#languages").replaceChildren(...languages().map(([code, name]) => Object.assign(element("option", name), { value: code, lang: code })));
find("#languages").addEventListener("change", (event) => speak(event.target.value));
speak(language());
loadModel();
