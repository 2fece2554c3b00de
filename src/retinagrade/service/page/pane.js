// The pane of one photograph: viewer, advice, findings, and the reader's decision.

import { fillDecision } from "./decision.js";
import { element, find, fromTemplate, icon, table } from "./elements.js";
import { member, number, percent, word } from "./languages.js";
import { draw, isOutlined, makeSwitches, showKind } from "./outlines.js";
import { getPicture } from "./service.js";
import { counts, findings, splitReason, verdict } from "./verdict.js";
import { Viewer, photographUrl } from "./viewer.js";

const upperFirst = (text) => text[0].toUpperCase() + text.slice(1);

export class Pane {
  // `on` has what happens at: identity, remove, decided, key.
  constructor(photograph, on) {
    Object.assign(this, { photograph, on });
    this.node = fromTemplate("pane");
    this.fillIdentity();
  }

  fillIdentity() {
    const { photograph, node } = this;
    const fields = { eye: find(".eye", node), patient: find(".name", node), examined: find(".examined", node) };
    for (const [name, field] of Object.entries(fields)) {
      field.value = photograph[name];
      field.addEventListener("change", () => {
        photograph[name] = field.value.trim();
        photograph.edited.add(name);
        this.on.identity(photograph);
      });
    }
    this.fields = fields;
    find(".remove", node).addEventListener("click", () => this.on.remove(photograph));
    this.title();
  }

  title() {
    const { photograph: { eye, file }, node } = this;
    find(".badge", node).textContent = word(`short_${eye}`);
    find(".badge", node).dataset.eye = eye;
    find("h3", node).textContent = word(`eye_${eye}`);
    find(".file", node).textContent = file.name;
  }

  // Shows the result, or the error, or that it is on its way.
  update(model) {
    const { photograph, node } = this;
    for (const [name, field] of Object.entries(this.fields)) field.value = photograph[name];
    this.title();
    const said = verdict(photograph, model);
    const box = find(".verdict", node);
    box.dataset.kind = said.kind;
    find(".headline", box).replaceChildren(icon(said.kind), element("span", said.headline));
    find(".why", box).replaceChildren(...said.why.map((text) => element("p", text)));
    const { result } = photograph;
    const isThere = result !== undefined && model !== undefined;
    for (const part of node.querySelectorAll(".result")) part.hidden = !isThere;
    find(".stage", node).hidden = photograph.error !== undefined;
    node.classList.toggle("concealed", photograph.concealed);
    if (!isThere) return;
    const { grading } = result;
    find(".found ul", node).replaceChildren(
      ...(grading.predicted_grade === null ? [] : grading.quality_reasons.map((each) => element("li", word("quality_warning", splitReason(each)), "warning"))),
      ...(grading.seen_before ? [element("li", member("seen_before", grading.seen_before), "warning")] : []),
      ...findings(grading, model).map((text) => element("li", text)));
    this.fillCounts(counts(grading));
    this.fillGrades(grading);
    this.fillForm();
  }

  // A form of its own for each photograph, and another one when its answer is revealed.
  fillForm() {
    const { photograph, node } = this;
    if (this.formed === photograph.concealed) return;
    const fresh = find(".decision", fromTemplate("pane"));
    fresh.hidden = false;
    find(".decision", node).replaceWith(fresh);
    fillDecision(fresh, photograph, (reading) => this.on.decided(photograph, reading));
    this.formed = photograph.concealed;
  }

  // The numbers of lesions in each quadrant of the photograph.
  fillCounts(kinds) {
    const box = find(".counts", this.node);
    box.replaceChildren();
    if (kinds.length === 0) return;
    const made = table(["", word("all"), "↖", "↗", "↙", "↘"], kinds.map(({ kind, count, quadrants }) => [upperFirst(word("kind", { kind })), count, ...quadrants]));
    [...made.querySelectorAll("thead th")].slice(2).forEach((cell, index) => { cell.ariaLabel = cell.title = word("places")[index]; });
    find("thead th", made).replaceWith(document.createElement("td")); // the corner
    box.append(find("table", made));
  }

  // The bars of the grades; an ungradable photograph has none.
  fillGrades(grading) {
    const box = find(".grades", this.node);
    box.hidden = grading.predicted_grade === null;
    if (box.hidden) return;
    find("tbody", box).replaceChildren(...grading.probabilities.map((probability, grade) => {
      const row = element("tr");
      row.classList.toggle("predicted", grade === grading.predicted_grade);
      const bar = element("td", "", "bar");
      bar.append(Object.assign(document.createElement("meter"), { value: probability, ariaHidden: "true" })); // the number is beside it
      row.append(Object.assign(element("th", `${grade} ${word("grade_short", { grade })}`), { scope: "row" }), bar, element("td", percent(probability)));
      row.lastChild.title = number(probability, 3);
      return row;
    }));
  }

  // Opens the viewer: only while the pane is on the page, since a photograph takes much memory.
  async open(tools) {
    const { photograph, node } = this;
    const pictures = photograph.result?.pictures;
    if (this.viewer || !pictures) return;
    this.drawing ??= draw(photograph.result);
    this.viewer = new Viewer(find(".canvas", node), {
      label: word("viewer", { eye: word(`eye_${photograph.eye}`), name: photograph.file.name }),
      eye: photograph.eye, square: pictures.square, width: pictures.width, drawing: this.drawing,
      on: { key: this.on.key, zoom: (scale) => { find(".zoom", node).textContent = percent(scale); } },
    });
    this.viewer.setView(tools.view);
    this.showOutlines(tools.outlines);
    this.fillLegend();
    photograph.url ??= photographUrl(photograph.file, pictures, getPicture);
    try {
      const url = await photograph.url;
      this.viewer?.show(url);
    } catch (error) {
      photograph.url = undefined;
      find(".lost", node).textContent = `${word("no_viewer")} ${error.message}`;
    }
  }

  close() {
    this.viewer?.close();
    this.viewer = undefined;
    find(".canvas", this.node).replaceChildren();
  }

  showOutlines(visible) {
    this.drawing?.classList.toggle("off", !visible);
  }

  // The switches of the outlines, or the slider of the saliency map with its colours.
  fillLegend() {
    const { photograph: { result }, drawing, node } = this;
    const { pictures } = result;
    const box = find(".kinds", node);
    if (this.hasLegend) return;
    this.hasLegend = true;
    box.hidden = !isOutlined(result);
    find(".map", node).hidden = !pictures.saliency;
    if (isOutlined(result)) {
      box.append(...makeSwitches(drawing, result));
      box.title = word("outlines_note");
    }
    if (pictures.saliency) {
      const slider = find("input[type=range]", node);
      const show = () => {
        find(".saliency", drawing).setAttribute("opacity", slider.value / 100);
        slider.setAttribute("aria-valuetext", percent(slider.value / 100));
      };
      slider.addEventListener("input", show);
      show();
    }
  }

  // Writes all words again, in another language; switches keep their state.
  reword(model) {
    const off = [...this.node.querySelectorAll(".kinds input:not(:checked):enabled")].map(({ value }) => value);
    const before = this.node;
    this.close();
    Object.assign(this, { node: fromTemplate("pane"), formed: undefined, hasLegend: false });
    if (this.drawing) {
      this.drawing = draw(this.photograph.result);
      this.fillLegend();
      for (const box of this.node.querySelectorAll(".kinds input")) {
        if (!off.includes(box.value)) continue;
        box.checked = false;
        showKind(this.drawing, box.value, false);
      }
    }
    before.replaceWith(this.node);
    this.fillIdentity();
    this.update(model);
  }
}
