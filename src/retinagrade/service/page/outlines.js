// Outlines of lesions and the saliency map, as one drawing in pixels of the photograph.

import { number, word } from "./languages.js";

const SVG = "http://www.w3.org/2000/svg";
const DASHES = ["none", "6 2", "2 2", "8 3 2 3"]; // so that nobody needs to tell colours apart

// Whether a photograph has outlines to show. Nobody should look at those of a photograph without a grade.
export const isOutlined = ({ pictures, grading }) => pictures.lesions !== null && grading.predicted_grade !== null;

// Makes the drawing of a photograph. A lesion may have several outlines; the grading counts lesions.
export function draw(result) {
  const { pictures, grading } = result;
  const svg = create("svg", { role: "img", class: "drawing" });
  if (pictures.saliency) {
    const { left, top, width, height } = pictures.square;
    const map = create("image", { class: "saliency", x: left, y: top, width, height, preserveAspectRatio: "none", opacity: 0 });
    map.setAttribute("href", pictures.saliency);
    svg.append(map);
  }
  svg.append(...(isOutlined(result) ? pictures.lesions : []).map(({ kind, colour, outlines }, index) => {
    const group = create("g", { stroke: colour, "stroke-dasharray": DASHES[index % DASHES.length] });
    group.dataset.kind = kind;
    group.dataset.count = grading[kind] ?? outlines.length;
    group.append(...outlines.map(({ polygon, probability }) => {
      // Whole numbers are centres of pixels; the drawing begins at the edge of the first pixel.
      const shape = create("polygon", { points: polygon.map(([x, y]) => `${x + 0.5},${y + 0.5}`).join(" ") });
      const title = create("title", {});
      title.textContent = word("outline_title", { kind: word("kind", { kind, count: 1 }), probability: number(probability) });
      shape.append(title);
      return shape;
    }));
    return group;
  }));
  describe(svg);
  return svg;
}

export function showKind(svg, kind, visible) {
  svg.querySelector(`g[data-kind="${kind}"]`).toggleAttribute("hidden", !visible);
  describe(svg);
}

// Returns the switches of the kinds: a box for each, with its colour and number.
export function makeSwitches(svg, { pictures, grading }) {
  return pictures.lesions.map(({ kind, colour, outlines }) => {
    const count = grading[kind] ?? outlines.length;
    const label = document.createElement("label");
    const box = Object.assign(document.createElement("input"), { type: "checkbox", checked: true, disabled: count === 0, value: kind });
    box.addEventListener("change", () => showKind(svg, kind, box.checked));
    const sample = document.createElement("span");
    sample.className = "sample";
    sample.style.setProperty("--kind", colour);
    sample.ariaHidden = "true";
    label.append(box, sample, `${word("kind", { kind })} (${count})`);
    return label;
  });
}

function describe(svg) {
  const shown = [...svg.querySelectorAll("g")].filter((group) => !group.hasAttribute("hidden") && group.childElementCount > 0)
    .map(({ dataset }) => `${dataset.count} ${word("kind", { kind: dataset.kind, count: Number(dataset.count) })}`);
  svg.setAttribute("aria-label", word("outlines_shown", { shown }));
}

function create(name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}
