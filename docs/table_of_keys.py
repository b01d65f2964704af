"""A directive for Sphinx: the keys of a table in a TOML file, from the model that reads it.

```{keys} suite.sweep.Measure
```
"""

import importlib
import json
from collections.abc import Iterator
from typing import Any

from docutils import nodes
from pydantic import BaseModel, TypeAdapter
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from sphinx.application import Sphinx
from sphinx.pycode import ModuleAnalyzer
from sphinx.util.docutils import SphinxDirective


def keys(model: type[BaseModel]) -> Iterator[tuple[str, str, str, str]]:
    """Yield each key with its default, what it takes, and what it means, as Markdown."""
    comments = ModuleAnalyzer.for_module(model.__module__).find_attr_docs()
    for key, field in model.model_fields.items():
        comment = " ".join(comments.get((model.__name__, key), ())).strip()
        yield f"`{key}`", _default(field), takes(field), comment


def takes(field: FieldInfo) -> str:
    """Say in words what a key takes."""
    try:
        schema = TypeAdapter(field.annotation).json_schema()
    except Exception as error:  # no schema says what such a type takes
        raise ValueError(f"{field} cannot be described") from error
    limits = {name: getattr(item, name) for item in field.metadata for name in LIMITS
              if getattr(item, name, None) is not None}  # fmt: skip
    return _said(schema | {LIMITS[name]: value for name, value in limits.items()}, schema)


LIMITS = {"ge": "minimum", "le": "maximum", "gt": "exclusiveMinimum", "lt": "exclusiveMaximum"}
YEAR_S = 365 * 86400
PLAIN = {"string": "text", "boolean": "`true` or `false`"}


def _said(schema: dict[str, Any], whole: dict[str, Any]) -> str:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"a table, as {name} below"
    if "anyOf" in schema:
        kinds = [_said(each, whole) for each in schema["anyOf"] if each.get("type") != "null"]
        return " or ".join(dict.fromkeys(kinds))
    if "enum" in schema or "const" in schema:
        values = schema.get("enum", [schema.get("const")])
        return " or ".join(f"`{json.dumps(value)}`" for value in values)
    kind = schema["type"]
    if kind == "array":
        return f"a list of {_said(schema['items'], whole)}" if "items" in schema else "a list"
    if kind == "object":
        inner = schema.get("additionalProperties")
        return f"tables of {_said(inner, whole)} by name" if inner else "a table"
    if kind in PLAIN:
        return PLAIN[kind]
    if schema.get("maximum") == YEAR_S:
        return 'a duration, as `"20 min"`'
    number = "a whole number" if kind == "integer" else "a number"
    return number + _range(schema)


def _range(schema: dict[str, Any]) -> str:
    bounds = {"minimum": "from {:g}", "exclusiveMinimum": "above {:g}", "maximum": "to {:g}",
              "exclusiveMaximum": "below {:g}"}  # fmt: skip
    said = [text.format(schema[name]) for name, text in bounds.items() if name in schema]
    return " " + " ".join(said) if said else ""


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "—"
    if field.default in (None, PydanticUndefined) or isinstance(field.default, BaseModel):
        return ""
    value = TypeAdapter(field.annotation).dump_python(field.default, mode="json")
    return f"`{json.dumps(value)}`"


class Keys(SphinxDirective):
    """A table of a model's keys."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the table."""
        module, _, name = self.arguments[0].rpartition(".")
        model = getattr(importlib.import_module(module), name)
        rows = [("key", "default", "takes", "meaning"), ("---",) * 4, *keys(model)]
        text = "".join(f"| {' | '.join(row)} |\n" for row in rows)
        return self.parse_text_to_nodes(text)


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the directive."""
    app.add_directive("keys", Keys)
    return {"parallel_read_safe": True}
