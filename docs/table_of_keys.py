"""A directive for Sphinx: the keys of a table in a TOML file, from the model that reads it.

```{keys} suite.sweep.Measure
```
"""

import importlib
import json
from collections.abc import Iterator
from typing import Any

from docutils import nodes
from pydantic import BaseModel
from sphinx.application import Sphinx
from sphinx.pycode import ModuleAnalyzer
from sphinx.util.docutils import SphinxDirective

PLURAL = {
    "text": "text",
    "a whole number": "whole numbers",
    "a number": "numbers",
    "a table": "tables",
}
BOUNDS = {
    "minimum": "from",
    "exclusiveMinimum": "above",
    "maximum": "to",
    "exclusiveMaximum": "below",
}


def keys(model: type[BaseModel]) -> Iterator[tuple[str, str, str, str]]:
    """Yield each key with its default, what it takes, and what it means, as Markdown."""
    schema = model.model_json_schema()
    comments = ModuleAnalyzer.for_module(model.__module__).find_attr_docs()
    for key, said in schema["properties"].items():
        default = "—" if key in schema.get("required", ()) else _default(said)
        meaning = " ".join(comments.get((model.__name__, key), ())).strip()
        yield f"`{key}`", default, takes(said), meaning


def takes(said: dict[str, Any]) -> str:  # noqa: PLR0911
    """Say in words what a JSON schema allows."""
    if "anyOf" in said:
        kinds = [takes(each) for each in said["anyOf"] if each.get("type") != "null"]
        return " or ".join(dict.fromkeys(kinds))
    if "enum" in said or "const" in said:
        values = said.get("enum", [said.get("const")])
        return " or ".join(f"`{json.dumps(value)}`" for value in values)
    if said.get("format") == "duration":
        return 'a duration, as `"20 min"`'
    if "$ref" in said:
        return f"a table ({said['$ref'].rpartition('/')[2]})"
    if said["type"] == "array":
        return f"a list of {_several(said['items'])}"
    if said["type"] == "object":
        return f"{_several(said['additionalProperties'])} by name"
    if said["type"] in ("integer", "number"):
        return ("a whole number" if said["type"] == "integer" else "a number") + _range(said)
    return {"string": "text", "boolean": "`true` or `false`"}[said["type"]]


def _several(said: dict[str, Any]) -> str:
    one = takes(said)
    first = next((name for name in PLURAL if one.startswith(name)), "")
    return PLURAL.get(first, "") + one.removeprefix(first)


def _range(said: dict[str, Any]) -> str:
    return "".join(f" {word} {said[name]:,.10g}" for name, word in BOUNDS.items() if name in said)


def _default(said: dict[str, Any]) -> str:
    value = said.get("default")
    if value is None or "$ref" in said:
        return ""
    if said.get("format") == "duration":
        return f'`"{value / 60:g} min"`'
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
