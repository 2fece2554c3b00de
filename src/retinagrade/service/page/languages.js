// The language of the page: the browser's, or the one that its user chose. English stands in for a missing word.

import en from "./languages/en.js";
import it from "./languages/it.js";

const LANGUAGES = { en, it };
const CHOSEN = "retinagrade.language"; // nothing personal, so it may outlive the tab

let code = chosen() ?? navigator.languages.map((each) => each.slice(0, 2)).find((each) => LANGUAGES[each]) ?? "en";

export const languages = () => Object.entries(LANGUAGES).map(([each, words]) => [each, words.language]);
export const language = () => code;

export function setLanguage(value) {
  code = value;
  try {
    localStorage.setItem(CHOSEN, value);
  } catch { /* a browser without storage forgets the choice */ }
}

function chosen() {
  try {
    const value = localStorage.getItem(CHOSEN);
    return LANGUAGES[value] ? value : null;
  } catch {
    return null;
  }
}

// Returns the words of a key, or the list or table of words. `facts` fill their gaps.
export function word(key, facts = {}) {
  const value = LANGUAGES[code][key] ?? en[key];
  return typeof value === "function" ? value(facts) : value;
}

// Returns the words of a member of a table, such as a reason; the program's own English word where there is none.
export function member(key, name, facts = {}) {
  const value = LANGUAGES[code][key]?.[name] ?? en[key]?.[name] ?? name;
  return typeof value === "function" ? value(facts) : value;
}

// The browser's own variant of the language, such as en-GB, writes dates and numbers.
const locale = () => navigator.languages.find((each) => each.slice(0, 2) === code) ?? code;

export const number = (value, digits = 2) => new Intl.NumberFormat(locale(), { minimumFractionDigits: digits, maximumFractionDigits: digits }).format(value);
export const percent = (value) => new Intl.NumberFormat(locale(), { style: "percent" }).format(value);
export const day = (iso) => new Date(`${iso}T00:00`).toLocaleDateString(locale(), { day: "numeric", month: "short", year: "numeric" });
export const moment = (value) => new Date(value).toLocaleString(locale(), { dateStyle: "medium", timeStyle: "short" });

// Writes the words into all elements that name them: in data-word, in data-label for their accessible name, or in
// data-hint for their tooltip.
export function translate(root) {
  for (const each of root.querySelectorAll("[data-word]")) each.textContent = word(each.dataset.word);
  for (const each of root.querySelectorAll("[data-hint]")) each.title = word(each.dataset.hint);
  for (const each of root.querySelectorAll("[data-label]")) {
    each.ariaLabel = word(each.dataset.label);
    each.title = each.ariaLabel;
  }
}
