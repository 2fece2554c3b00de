// "About the model": everything that the card of the grader file says.

import { element, table } from "./elements.js";
import { day, member, number, percent, word } from "./languages.js";

export function describeModel(model) {
  return [
    section("card_use", inEnglish(paragraph(model.intended_use)), paragraph(member("card_counts_as", model.referral))),
    section("card_elsewhere", ...((model.elsewhere ?? []).length === 0 ? [paragraph(word("card_elsewhere_none"))]
      : model.elsewhere.flatMap((each) => [paragraph(`${each.place}: ${each.photographs}`), metrics(each)]))),
    section("card_limits", inEnglish(bullets(model.limitations))),
    section("card_metrics", ...figures(model)),
    section("card_decisions", ...decisions(model)),
    section("card_training", facts(model)),
    ...(model.history.length > 0 ? [section("card_history", bullets(model.history.map((change) => word("card_change",
      { date: day(change.date.slice(0, 10)), changed: change.changed.map(plain).join(", "), data: change.data }))))] : []),
  ];
}

const inEnglish = (part) => Object.assign(part, { lang: "en" }); // the author's own words, whatever the language of the page
const plain = (name) => name.replaceAll("_", " ");
const paragraph = (text) => element("p", text);
const show = (value, digits = 3) => (value === null ? word("card_undefined") : number(value, digits));

function section(key, ...parts) {
  const made = element("section");
  made.append(element("h3", word(key)), ...parts);
  return made;
}

function bullets(texts) {
  const made = element("ul");
  made.append(...texts.map((text) => element("li", text)));
  return made;
}

function metrics(measured) {
  return table([word("card_metric"), word("card_value"), word("card_interval")], Object.entries(measured.metrics).map(([name, { value, interval }]) => [
    plain(name), show(value), interval ? word("card_range", { low: number(interval[0], 3), high: number(interval[1], 3) }) : ""]));
}

function figures(model) {
  const sets = { card_cross: model.cross_validation, card_validation: model.validation, card_test: model.test, card_float: model.change_from_float32 };
  const parts = Object.entries(sets).filter(([, measured]) => measured).flatMap(([key, measured]) => [paragraph(word(key, measured)), metrics(measured)]);
  return model.test ? parts : [...parts, paragraph(word("card_test_none"))];
}

function decisions(model) {
  const named = { card_referable: model.referable, card_threatening: model.vision_threatening, card_oedema: model.oedema };
  const points = Object.entries(named).filter(([, point]) => point);
  const rows = points.map(([key, point]) => [word(key), number(point.threshold, 3),
    point.target === null ? point.rule : word("card_target", { rule: point.rule, target: percent(point.target) }), show(point.sensitivity), show(point.specificity),
    point.positives === null ? word("unknown") : `${point.positives}, ${point.negatives}`]);
  const head = ["card_decision", "card_from", "card_rule", "card_sensitivity", "card_specificity", "card_counts"].map((key) => word(key));
  const { gate, review, prediction_sets: sets } = model;
  const sentences = [
    ...(points.length > 0 ? [word("card_flatters")] : []),
    ...Object.entries(model.undefined).map(([name, reason]) => `${plain(name)}: ${reason}`),
    word("card_gate", { quality: number(gate.reject_below), warning: number(gate.usable_below) }),
    ...(review ? [word("card_review", { confidence: number(review.confidence, 3), reviewed: percent(review.reviewed) })] : []),
    ...(sets ? [word("card_sets", { coverage: percent(sets.coverage) })] : []),
  ];
  return [...(points.length > 0 ? [table(head, rows)] : []), bullets(sentences)];
}

function facts(model) {
  const { training_data: data, preparation, verification, initial_weights: weights } = model;
  const known = {
    datasets: data.datasets.join(", ") || word("unknown"),
    photographs: Object.entries(data.photographs).map(([split, count]) => `${split} ${count}`).join(", "),
    source: data.source ?? word("unknown"),
    weights: Object.entries(weights).map(([name, value]) => `${plain(name)} ${value}`).join(", ") || word("unknown"),
    preparation: `${preparation.size} px, ${preparation.contrast}, ${preparation.square}`,
    networks: model.members.map(({ name, version }) => `${name} ${version}`).join(", ") || model.lesions?.networks.join(", ") || model.output,
    temperature: `${number(model.temperature, 3)}${model.site_temperature === 1 ? "" : ` × ${number(model.site_temperature, 3)}`}`,
    precision: `${model.precision}${model.tta ? ", TTA" : ""}`,
    verification: word("card_verified", { photographs: verification.photographs, difference: verification.max_probability_difference.toExponential(1) }),
    version: `${model.name} ${model.version}`,
    created: day(model.created.slice(0, 10)),
    licence: model.licence ?? word("unknown"),
    manifest: data.manifest_sha256,
  };
  const made = element("dl");
  made.append(...Object.entries(known).flatMap(([name, fact]) => [element("dt", member("card_facts", name)), element("dd", fact)]));
  return made;
}
