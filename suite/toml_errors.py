"""What pydantic finds wrong with a TOML file, in the words of that file."""

import json
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from suite.errors import nearest

Location = tuple[int | str, ...]

SHOWN_CHARACTERS = 60
MOST_CHARACTERS = 400


def explain(error: ValidationError, path: Path, tables: Mapping[str, type[BaseModel]]) -> str:
    """Turn the first finding into one sentence: file, place in it, what is wrong, nearest name.

    Parameters
    ----------
    tables
        The model of each table, by its name: "" is the file itself, "models.*" stands for every
        `[models.NAME]`, and "exclude" may be an array of tables, `[[exclude]]`. A table within
        another stands by its own name.
    """
    findings = _worth_telling(error.errors(include_url=False))
    first = findings[0]
    location: Location = tuple(part for part in first["loc"] if part != "[key]")
    joint = ": "
    match first["type"]:
        case "extra_forbidden":
            *place, key = location
            location = tuple(place)
            name, inner = (str(place[0]), str(place[-1])) if place else ("", "")
            table = tables.get(inner) or tables.get(name) or tables[f"{name}.*"]
            hint = nearest(str(key), table.model_fields)
            text = f"there is no key {_cut(repr(str(key)))} here. {hint}"
        case "missing":
            joint, text = " ", "is missing"
        case "too_short":
            joint, text = " ", "is empty: it needs at least one value"
        case "tuple_type":
            text = f"{_shown(first['input'])} must be a list, in square brackets"
        case "model_type" | "dict_type":
            text = f"{_shown(first['input'])} must be a table"
        case "value_error":
            text = str(first["ctx"]["error"])
        case _:
            message = f"{first['msg'][0].lower()}{first['msg'][1:]}"
            text = f"{_shown(first['input'])} will not do: {message}"
    more = f" (and {len(findings) - 1} more)" if len(findings) > 1 else ""
    where = _place(location, tables)
    return f"{path}: {where}{joint if where else ''}{_cut(text, MOST_CHARACTERS)}{more}"


def _worth_telling(findings: list[ErrorDetails]) -> list[ErrorDetails]:
    """Put keys that there are not first: what is missing may be one of them, misspelt.

    A list with a wrong value is also found to be too short, which it is not.
    """
    wrong = {finding["loc"][:-1] for finding in findings}
    findings = [f for f in findings if f["type"] != "too_short" or f["loc"] not in wrong]
    return sorted(findings, key=lambda finding: finding["type"] != "extra_forbidden")


def _shown(value: object) -> str:
    """Return a value as TOML has it, or nearly so."""
    return _cut(json.dumps(value, default=str, ensure_ascii=False))


def _cut(text: str, most: int = SHOWN_CHARACTERS) -> str:
    return text if len(text) <= most else text[:most] + "…"


def _place(location: Location, tables: Mapping[str, type[BaseModel]]) -> str:
    """Say where in the file `location` is: `[axes] threads, value 2`."""
    words: list[str] = []
    parts = list(location)
    table = str(parts[0]) if parts else ""
    if f"{table}.*" in tables and len(parts) > 1:
        words.append(f"[{table}.{_cut(str(parts[1]))}]")
        parts = parts[2:]
    elif table in tables and len(parts) > 1 and isinstance(parts[1], int):
        words.append(f"[[{table}]] number {parts[1] + 1}")
        parts = parts[2:]
    elif table and table in tables:
        words.append(f"[{table}]")
        parts = parts[1:]
    for part in parts:
        if isinstance(part, int):
            words[-1] += f", value {part + 1}"
        else:
            words.append(_cut(str(part)))
    return " ".join(words)
