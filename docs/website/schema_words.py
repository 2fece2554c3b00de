"""JSON schemas in words: the values that a field takes, and tables of fields."""

from __future__ import annotations

import copy
import inspect
import json
from typing import Any

from docstring_roles import to_markdown
from griffe import Docstring, DocstringAttribute, DocstringSectionAttributes, DocstringSectionText
from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

Schema = dict[str, Any]
_TYPES = {"string": "text", "number": "number", "integer": "whole number", "boolean": "true or false", "null": "null"}


def schema_of(model: Any) -> Schema:
    """Returns the JSON schema of a class, with the meaning of each field from the docstring of its class."""
    return TypeAdapter(model).json_schema(schema_generator=_DescribedSchema)


class _DescribedSchema(GenerateJsonSchema):
    """Moves the section ``Attributes`` of a class's docstring, and of its bases, to the fields."""

    def model_schema(self, schema: Any) -> Schema:
        return _described(super().model_schema(schema), schema["cls"])

    def dataclass_schema(self, schema: Any) -> Schema:
        return _described(super().dataclass_schema(schema), schema["cls"])


def _described(part: Schema, described: type) -> Schema:
    docstrings = [inspect.cleandoc(each.__doc__ or "") for each in described.__mro__]
    attributes: dict[str, str] = {}
    for docstring in reversed(docstrings):
        attributes |= _sections(docstring)[1]
    for name, field in part.get("properties", {}).items():
        if name in attributes:
            field.setdefault("description", attributes[name])
    return {**part, "description": _sections(docstrings[0])[0]}


def _sections(docstring: str) -> tuple[str, dict[str, str]]:
    """Splits a docstring of Google's style into its text and the meaning of each attribute."""
    texts: list[str] = []
    attributes: dict[str, str] = {}
    for section in Docstring(docstring).parse("google", warnings=False):
        if isinstance(section, DocstringSectionText):
            texts.append(section.value)
        if isinstance(section, DocstringSectionAttributes):
            each: DocstringAttribute
            for each in section.value:
                attributes[each.name] = to_markdown(each.description, link=False).replace("`None`", "`null`")
    return to_markdown("\n\n".join(texts), link=False), attributes


def describe_values(schema: Schema, definitions: dict[str, Schema]) -> str:
    """Describes the values that a schema allows, in Markdown: ``whole number, at least 1``.

    Args:
        schema: The schema of one field.
        definitions: The schemas that it may refer to. One with fields of its own becomes a link to its table.
    """
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        target = definitions.get(name, {})
        if "properties" not in target:
            return describe_values(target, definitions)
        return f"[{target.get('title', name)}](#{name.lower()})"
    for key in ("anyOf", "oneOf"):
        if key in schema:
            return " or ".join(dict.fromkeys(describe_values(each, definitions) for each in schema[key]))
    if "allOf" in schema:
        return describe_values(schema["allOf"][0], definitions)
    if "const" in schema or "enum" in schema:
        choices = [f"`{value}`" for value in schema.get("enum", [schema.get("const")])]
        return " or ".join(filter(None, [", ".join(choices[:-1]), choices[-1]]))
    kind = schema.get("type")
    if isinstance(kind, list):
        return " or ".join(describe_values({**schema, "type": each}, definitions) for each in kind)
    if kind == "array":
        return _describe_list(schema, definitions)
    if kind == "object":
        inner = schema.get("additionalProperties")
        values = describe_values(inner, definitions) if isinstance(inner, dict) and inner else "any values"
        return f"names with values: {values}"
    return ", ".join([_TYPES.get(str(kind), "any value"), *_bounds(schema)])


def _bounds(schema: Schema) -> list[str]:
    """Describes the ends of a range of numbers."""
    whole = schema.get("type") == "integer"
    least, above = schema.get("minimum"), schema.get("exclusiveMinimum")
    if whole and above is not None:
        least, above = max(above + 1, above + 1 if least is None else least), None
    low = [] if least is None else [f"at least {least:g}"]
    low = low if above is None else [f"above {above:g}"]
    most, below = schema.get("maximum"), schema.get("exclusiveMaximum")
    high = [] if most is None else [f"at most {most:g}"]
    return [*low, *high, *([] if below is None else [f"below {below:g}"])]


def _describe_list(schema: Schema, definitions: dict[str, Schema]) -> str:
    if "prefixItems" in schema:
        items = list(dict.fromkeys(describe_values(each, definitions) for each in schema["prefixItems"]))
        return f"list of {len(schema['prefixItems'])} ({', '.join(items)})"
    least, most = schema.get("minItems"), schema.get("maxItems")
    size = f"{least} " if least == most and least else f"at least {least} " if least else ""
    return f"list of {size}({describe_values(schema.get('items', {}), definitions)})"


def describe_default(field: Schema) -> str:
    """Returns the default of a field as YAML writes it, or nothing where there is none."""
    if "default" not in field:
        return "—"
    default = field["default"]
    return "its own defaults" if isinstance(default, dict) else f"`{json.dumps(default, ensure_ascii=False)}`"


def field_table(part: Schema, definitions: dict[str, Schema], defaults: bool = False) -> str:
    """Returns a table in Markdown of the fields of one schema: name, values, perhaps default, meaning."""
    heads = ["field", "values", *(["default"] if defaults else []), "meaning"]
    rows = [heads, ["---"] * len(heads)]
    for name, field in part["properties"].items():
        meaning = to_markdown(str(field.get("description", "")), link=False)
        default = [describe_default(field)] if defaults else []
        rows.append([f"`{name}`", describe_values(field, definitions), *default, meaning])
    return "\n".join("| " + " | ".join(_cell(cell) for cell in row) + " |" for row in rows)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def without_titles(schema: Schema) -> Schema:
    """Returns a schema without the titles that pydantic makes of names."""
    clean = copy.deepcopy(schema)
    for part in [clean, *clean.get("$defs", {}).values()]:
        for field in part.get("properties", {}).values():
            field.pop("title", None)
    return clean
