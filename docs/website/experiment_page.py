"""The reference of experiment files: every field with its values, its default and its meaning."""

from __future__ import annotations

from repository_links import INTROS
from schema_words import Schema, field_table, schema_of, without_titles

from retinagrade.experiments.experiment import Experiment, experiment_names, load_experiment

PAGE = "reference/experiment.md"


def experiment_page() -> str:
    """Writes the page: a table for the file itself and for each of its sections, and the shipped experiments."""
    schema = experiment_schema()
    definitions = schema["$defs"]
    for name, place in _places(schema, definitions, "").items():
        definitions[name]["title"] = f"section `{place}`"
    text = [
        (INTROS / "experiment.md").read_text(encoding="utf-8"),
        "## The file",
        field_table(schema, definitions, defaults=True),
    ]
    for name in _places(schema, definitions, ""):
        part = definitions[name]
        heading = f"## {part['title'].capitalize()} {{ #{name.lower()} }}"
        text += [heading, part["description"], field_table(part, definitions, defaults=True)]
    text += ["## Shipped experiments", "`retinagrade experiments show NAME` draws each of them.", _shipped()]
    return "\n\n".join(text)


def _places(part: Schema, definitions: dict[str, Schema], before: str) -> dict[str, str]:
    """Finds where each section stands in a file, such as ``network.scaling``, by the name of its class."""
    places: dict[str, str] = {}
    for key, field in part["properties"].items():
        references = [each.get("$ref", "") for each in [field, *field.get("anyOf", [])]]
        for name in (each.rpartition("/")[2] for each in references if each):
            if "properties" in definitions[name]:
                places[name] = f"{before}{key}"
                places |= _places(definitions[name], definitions, f"{before}{key}.")
    return places


def experiment_schema() -> Schema:
    """Returns the JSON schema of an experiment file."""
    return without_titles(schema_of(Experiment))


def _shipped() -> str:
    experiments = [load_experiment(name) for name in experiment_names()]
    rows = [f"| `{each.name}` | {each.description} | {each.source} |" for each in experiments]
    return "\n".join(["| name | what it trains | source |", "|---|---|---|", *rows])
