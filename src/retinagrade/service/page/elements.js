// Elements of the page.

import { translate } from "./languages.js";

export const find = (selector, within = document) => within.querySelector(selector);

export function element(name, text = "", classes = "") {
  const created = document.createElement(name);
  created.textContent = text;
  if (classes) created.className = classes;
  return created;
}

export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", `#icon-${name}`);
  svg.append(use);
  svg.classList.add("icon");
  svg.ariaHidden = "true";
  return svg;
}

export function fromTemplate(id) {
  const node = find(`template#${id}`).content.firstElementChild.cloneNode(true);
  translate(node);
  return node;
}

export function table(head, body) {
  const made = element("table");
  const headRow = element("tr");
  headRow.append(...head.map((text) => Object.assign(element("th", text), { scope: "col" })));
  const headPart = element("thead");
  headPart.append(headRow);
  const bodyPart = element("tbody");
  bodyPart.append(...body.map(([name, ...cells]) => {
    const row = element("tr");
    row.append(Object.assign(element("th", name), { scope: "row" }), ...cells.map((text) => element("td", text)));
    return row;
  }));
  made.append(headPart, bodyPart);
  const box = element("div", "", "table");
  box.tabIndex = 0; // so that a wide table scrolls by keyboard
  box.append(made);
  return box;
}
