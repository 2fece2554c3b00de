"""Published schemas of files, held against what a command wrote."""

from __future__ import annotations

import json
from typing import Any

from jsonschema import Draft202012Validator
from repository_links import DOCS
from schema_words import schema_of


def require_schema(model: Any, document: Any) -> None:
    """Requires that a document has a published schema, and no field that the schema doesn't describe.

    Args:
        model: The class of the format, or the name of a schema below ``docs`` that is kept by hand.
        document: The document, as JSON reads it.
    """
    schema = json.loads((DOCS / model).read_text(encoding="utf-8")) if isinstance(model, str) else schema_of(model)
    for part in (schema, *schema.get("$defs", {}).values()):
        if "properties" in part:
            part.setdefault("additionalProperties", False)
    Draft202012Validator(schema).validate(document)
