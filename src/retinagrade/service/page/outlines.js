// Outlines of lesions over the photograph, by kind, each kind with a switch of its own.

import { kindName } from "./words.js";

const SVG = "http://www.w3.org/2000/svg";
const DASHES = ["none", "6 2", "2 2", "8 3 2 3"]; // so that nobody needs to tell colours apart

// Draws the outlines, and returns the switches. A lesion may have several outlines; the grading counts lesions.
export function drawOutlines(svg, { lesions, side }, grading) {
  svg.setAttribute("viewBox", `-0.5 -0.5 ${side} ${side}`); // whole numbers are centres of pixels
  const drawn = lesions.map(({ kind, colour, outlines }, index) => {
    const group = drawGroup(outlines, kind, colour, DASHES[index % DASHES.length]);
    group.dataset.count = grading[kind] ?? outlines.length;
    return { group, label: makeSwitch(group, svg, kind, colour, Number(group.dataset.count)) };
  });
  svg.replaceChildren(...drawn.map(({ group }) => group));
  describe(svg);
  return drawn.map(({ label }) => label);
}

function drawGroup(outlines, kind, colour, dashes) {
  const group = document.createElementNS(SVG, "g");
  group.dataset.kind = kind;
  group.setAttribute("stroke", colour);
  group.setAttribute("stroke-dasharray", dashes);
  group.append(...outlines.map(({ polygon, probability }) => {
    const shape = document.createElementNS(SVG, "polygon");
    shape.setAttribute("points", polygon.map((point) => point.join(",")).join(" "));
    const title = document.createElementNS(SVG, "title");
    title.textContent = `${kindName(kind, 1)}, probability ${probability.toFixed(2)}`;
    shape.append(title);
    return shape;
  }));
  return group;
}

function makeSwitch(group, svg, kind, colour, count) {
  const label = document.createElement("label");
  const box = document.createElement("input");
  box.type = "checkbox";
  box.checked = true;
  box.disabled = count === 0;
  box.addEventListener("change", () => {
    group.style.display = box.checked ? "" : "none";
    describe(svg);
  });
  const sample = document.createElement("span");
  sample.className = "sample";
  sample.style.background = colour;
  sample.ariaHidden = "true";
  label.append(box, sample, `${kindName(kind)} (${count})`);
  return label;
}

function describe(svg) {
  const shown = [...svg.children].filter((group) => group.style.display !== "none" && group.childElementCount > 0)
    .map((group) => `${group.dataset.count} ${kindName(group.dataset.kind, Number(group.dataset.count))}`);
  svg.setAttribute("aria-label", shown.length > 0 ? `Outlines of ${shown.join(", ")}` : "No outlines are shown");
}
