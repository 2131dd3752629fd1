"""The cases of json_schema_micro.py: a schema that has one thing in excess, and a text that meets it."""

from __future__ import annotations

import json
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Schema = dict[str, Any]
_WORDS = ("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda", "mu")


@dataclass(frozen=True, kw_only=True)
class Case:
    """schema, a value that satisfies it, and options of ``compile_json_schema``."""

    schema: Schema
    value: Any
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The value, as json.dumps writes it."""
        return json.dumps(self.value, ensure_ascii=False)


def _name(index: int) -> str:
    """Different names that share prefixes, as real ones do."""
    return f"{_WORDS[index % 12]}_{_WORDS[index // 12 % 12]}_{index}"


def _prose(length: int) -> str:
    text = "It was a bright cold day in April, and the clocks were striking thirteen; nobody looked up. "
    return (text * (length // len(text) + 1))[:length]


def _object(properties: Schema, **more: Any) -> Schema:
    return {"type": "object", "properties": properties, "additionalProperties": False, **more}


def _structure() -> Case:
    kinds: list[Schema] = [{"type": "integer"}, {"type": "boolean"}, {"enum": ["x", "y"]}, {"type": "null"}]
    values: list[Any] = [7, True, "y", None]
    inner = _object({_name(i): kinds[i % 4] for i in range(8)}, required=[_name(i) for i in range(8)])
    outer = {"type": "array", "items": _object({"left": inner, "right": {"type": "array", "items": inner}})}
    item = {_name(i): values[i % 4] for i in range(8)}
    return Case(schema=outer, value=[{"left": item, "right": [item, item]}] * 3)


def _strings() -> Case:
    return Case(schema=_object({"text": {"type": "string"}}), value={"text": _prose(2000) + 'é日本🎉 "quoted" \n\\'})


def _enum() -> Case:
    members = [_name(i) for i in range(50_000)]
    schema: Schema = {"type": "array", "items": {"enum": members}}
    return Case(schema=schema, value=[members[i] for i in range(0, 50_000, 2_500)])


def _pattern(pattern: str, value: str) -> Callable[[], Case]:
    return lambda: Case(schema={"type": "array", "items": {"type": "string", "pattern": pattern}}, value=[value] * 3)


def _long() -> Case:
    return Case(schema={"type": "string", "maxLength": 100_000}, value=_prose(3000))


def _near_the_end() -> Case:
    return Case(schema={"type": "string", "minLength": 990, "maxLength": 1000}, value=_prose(1000))


def _many_items() -> Case:
    return Case(schema={"type": "array", "items": {"type": "integer"}, "maxItems": 10_000}, value=list(range(500)))


def _properties(order: str) -> Callable[[], Case]:
    def build() -> Case:
        names = [_name(i) for i in range(2000)]
        schema = _object({name: {"type": "integer"} for name in names}, required=names[::20])
        chosen = names[::10]
        if order == "any":
            chosen = chosen[::-1]
        return Case(schema=schema, value=dict.fromkeys(chosen, 1), options={"property_order": order})

    return build


def _nested() -> Case:
    value: Any = {"v": 1}
    for depth in range(100):
        value = {"v": depth, "children": [value]}
    node = _object({"v": {"type": "integer"}, "children": {"type": "array", "items": {"$ref": "#"}}}, required=["v"])
    return Case(schema=node, value=value)


def _numbers() -> Case:
    schema: Schema = {"type": "array", "items": {"type": "number", "minimum": -273.15, "exclusiveMaximum": 1e6}}
    return Case(schema=schema, value=[-273.15, 0, 3.14159, 999999.999, -12.5, 1e3] * 5)


def _multiples() -> Case:
    return Case(schema={"type": "array", "items": {"multipleOf": 0.01}}, value=[19.99, 0.01, 1234567.89] * 5)


def _format(name: str, values: list[str]) -> Callable[[], Case]:
    return lambda: Case(schema={"type": "array", "items": {"type": "string", "format": name}}, value=values * 4)


def _additional() -> Case:
    schema: Schema = {"type": "object", "additionalProperties": {"type": "integer"}}
    return Case(schema=schema, value={_name(i): i for i in range(300)})


def _unique() -> Case:
    letters = list(string.ascii_letters)
    schema: Schema = {"type": "array", "items": {"enum": letters}, "uniqueItems": True}
    return Case(schema=schema, value=letters[::2])


def _unique_open() -> Case:
    schema: Schema = {"type": "array", "items": {"type": "string"}, "uniqueItems": True}
    return Case(schema=schema, value=[_name(i) for i in range(100)])


def _branches() -> Case:
    kinds = [_object({"kind": {"const": f"k{i}"}, f"p{i}": {"type": "integer"}}, required=["kind"]) for i in range(200)]
    schema: Schema = {"type": "array", "items": {"oneOf": kinds}}
    return Case(schema=schema, value=[{"kind": f"k{i}", f"p{i}": 1} for i in range(0, 200, 10)])


CASES: Mapping[str, Callable[[], Case]] = {
    "structure": _structure,
    "in a string": _strings,
    "enum of 50,000": _enum,
    "pattern \\p{L}+": _pattern(r"^[\p{L}\p{N} ]{1,200}$", "Grüße aus Ürümqi 日本 Ωμέγα " * 4),
    "pattern .{1,1000}": _pattern("^.{1,1000}$", _prose(400)),
    "pattern words": _pattern(r"^\w+([ -]\w+)*$", "a well-known set of words with hyphen-ated parts"),
    "maxLength 100,000": _long,
    "at maxLength": _near_the_end,
    "maxItems 10,000": _many_items,
    "2,000 properties": _properties("declared"),
    "2,000, any order": _properties("any"),
    "nesting 100": _nested,
    "number in bounds": _numbers,
    "multipleOf 0.01": _multiples,
    "format date-time": _format("date-time", ["2024-02-29T23:59:59.123+05:30", "1999-12-31T00:00:00Z"]),
    "format uri": _format("uri", ["https://example.com/a/b?c=d#e", "urn:isbn:0451450523", "ftp://[2001:db8::1]/x"]),
    "format email": _format("email", ["jane.doe+tag@mail.example.org"]),
    "additional names": _additional,
    "uniqueItems enum": _unique,
    "uniqueItems open": _unique_open,
    "oneOf of 200": _branches,
}
