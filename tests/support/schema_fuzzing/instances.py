"""Values for a schema: built to be valid where possible, mutated, and random, out of what the schema mentions."""

from __future__ import annotations

import copy
import random
from collections.abc import Mapping
from typing import Any

from schema_fuzzing.schemas import random_json, subschemas
from schema_fuzzing.strings import FORMATS, NAMES, PATTERN_EXAMPLES, SAMPLES, strings_of_length

_DEPTH = 5


class Pools:
    """What a schema mentions: names, strings, numbers, whole values."""

    def __init__(self, schema: Any) -> None:
        self.names: list[str] = list(NAMES)
        self.strings: list[str] = list(SAMPLES)
        self.numbers: list[float] = [0, 1, -1, 2, 0.5, 1.5, 3, 7, 10**20, 1e-7]
        self.values: list[Any] = [None, True, False, {}, []]
        for part in subschemas(schema):
            for keyword, value in part.items():
                self._note(keyword, value)

    def _note(self, keyword: str, value: Any) -> None:
        if keyword in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"):
            if not isinstance(value, bool):
                self.numbers += [value, value + 1, value - 1, value * 2, value + 0.5, -value]
        elif keyword in ("minLength", "maxLength"):
            for length in (value - 1, value, value + 1):
                self.strings += strings_of_length(max(length, 0))
        elif keyword == "pattern":
            self.strings += PATTERN_EXAMPLES[value] * 2
        elif keyword == "format":
            self.strings += [text for texts in FORMATS[value] for text in texts] * 2
        elif keyword == "patternProperties":
            self.names += [name for pattern in value for name in PATTERN_EXAMPLES[pattern]]
        elif keyword == "enum":
            self.values += value * 3
        elif keyword == "const":
            self.values += [value] * 3
        elif keyword == "propertyNames":
            inner = Pools(value)
            self.names += inner.strings[len(SAMPLES) :]

    def random(self, rng: random.Random, depth: int = 3) -> Any:
        """A value made of them."""
        kind = rng.random()
        if depth == 0 or kind < 0.55:
            pools: list[list[Any]] = [self.values, self.strings, self.numbers]
            return copy.deepcopy(rng.choice(rng.choice(pools)))
        if kind < 0.8:
            names = rng.sample(sorted(set(self.names)), min(len(set(self.names)), rng.randint(0, 3)))
            return {name: self.random(rng, depth - 1) for name in names}
        return [self.random(rng, depth - 1) for _ in range(rng.randint(0, 4))]


class Instances:
    """Values for one schema."""

    def __init__(self, schema: Any, rng: random.Random) -> None:
        self._root = schema
        self._rng = rng
        self.pools = Pools(schema)

    def constructed(self) -> Any:
        """A value that tries to satisfy the schema. It often does; the validators tell."""
        return self._satisfy(self._root, _DEPTH)

    def random(self) -> Any:
        """A value out of what the schema mentions."""
        return self.pools.random(self._rng) if self._rng.random() < 0.8 else random_json(self._rng, 3)

    def mutated(self, value: Any) -> Any:
        """The value, changed in one to three places."""
        value = copy.deepcopy(value)
        for _ in range(self._rng.choice([1, 1, 2, 3])):
            value = self._mutate(value)
        return value

    # -- built to be valid --------------------------------------------------------------------------------------------

    def _resolve(self, reference: str) -> Any:
        node = self._root
        for token in reference.split("/")[1:]:
            node = node[token]
        return node

    def _merged(self, schema: Any, depth: int) -> dict[str, Any] | bool:
        """The schema with what it is sure to apply, and one branch of each choice, thrown together."""
        if isinstance(schema, bool):
            return schema
        out: dict[str, Any] = {k: v for k, v in schema.items() if k not in ("allOf", "anyOf", "oneOf", "$ref", "if")}
        parts: list[Any] = list(schema.get("allOf", ()))
        if "$ref" in schema and depth > 0:
            parts.append(self._resolve(schema["$ref"]))
        parts += [self._rng.choice(schema[keyword]) for keyword in ("anyOf", "oneOf") if keyword in schema]
        if "if" in schema:
            yes = self._rng.random() < 0.5
            parts += [schema["if"], schema.get("then", True)] if yes else [schema.get("else", True)]
        for part in parts:
            merged = self._merged(part, depth - 1) if depth > 0 else True
            if merged is False:
                return False
            if merged is not True:
                _throw_together(out, merged)
        return out

    def _satisfy(self, schema: Any, depth: int) -> Any:
        rng = self._rng
        merged = self._merged(schema, depth)
        if isinstance(merged, bool) or depth <= 0:
            return rng.choice([None, True, 0, "", [], {}]) if depth <= 0 else self.pools.random(rng, min(depth, 2))
        if "const" in merged:
            return copy.deepcopy(merged["const"])
        if merged.get("enum"):
            return copy.deepcopy(rng.choice(merged["enum"]))
        kinds = merged.get("type")
        names = [kinds] if isinstance(kinds, str) else list(kinds or _suggested(merged, rng))
        kind = rng.choice(names)
        if kind == "object":
            return self._object(merged, depth)
        if kind == "array":
            return self._array(merged, depth)
        if kind == "string":
            return self._string(merged)
        if kind in ("integer", "number"):
            return self._number(merged, whole=kind == "integer")
        return None if kind == "null" else rng.random() < 0.5

    def _string(self, schema: Mapping[str, Any]) -> str:
        low, high = schema.get("minLength", 0), schema.get("maxLength", 1000)
        if "format" in schema:
            pool = list(FORMATS[schema["format"]][0])
        elif "pattern" in schema:
            pool = list(PATTERN_EXAMPLES[schema["pattern"]])
        else:
            pool = [*strings_of_length(max(low, min(high, self._rng.randint(0, 4)))), *SAMPLES]
        fitting = [text for text in pool if low <= len(text) <= high]
        return self._rng.choice(fitting or pool)

    def _number(self, schema: Mapping[str, Any], *, whole: bool) -> float:
        low = [schema[k] for k in ("minimum", "exclusiveMinimum") if not isinstance(schema.get(k, True), bool)]
        high = [schema[k] for k in ("maximum", "exclusiveMaximum") if not isinstance(schema.get(k, True), bool)]
        step = schema.get("multipleOf", 1 if whole else self._rng.choice([1, 0.5, 0.1]))
        start = max(low) if low else (min(high) if high else 0)
        offset = self._rng.choice([0, 0, 1, 2, 3])
        sign = 1 if low else -1 if high else self._rng.choice([1, -1])
        value = (start // step + (1 if start % step and low else 0) + sign * offset) * step
        return int(value) if whole or (isinstance(value, float) and value.is_integer()) else round(value, 6)

    def _object(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        rng = self._rng
        out: dict[str, Any] = {}
        properties = schema.get("properties", {})
        names = [*schema.get("required", ())]
        names += [name for name in properties if rng.random() < 0.5]
        names += rng.sample(self.pools.names, rng.choice([0, 0, 1, 2]))
        while len(names) < schema.get("minProperties", 0) + 1 and rng.random() < 0.9:
            names.append(rng.choice(self.pools.names))
        for name in names[: max(schema.get("maxProperties", 99), len(schema.get("required", ())))]:
            inner = properties.get(name, schema.get("additionalProperties", True))
            if inner is not False:
                out[name] = self._satisfy(inner, depth - 1)
        return out

    def _array(self, schema: Mapping[str, Any], depth: int) -> list[Any]:
        rng = self._rng
        low, high = schema.get("minItems", 0), schema.get("maxItems", 4)
        first = schema.get("prefixItems", schema.get("items") if isinstance(schema.get("items"), list) else [])
        rest = schema.get("items", True)
        if isinstance(rest, list):
            rest = schema.get("additionalItems", True)
        length = rng.randint(low, max(low, min(high, low + 3)))
        out = [self._satisfy(first[i] if i < len(first) else rest, depth - 1) for i in range(length)]
        if "contains" in schema and out and rng.random() < 0.7:
            for _ in range(schema.get("minContains", 1)):
                out[rng.randrange(len(out))] = self._satisfy(schema["contains"], depth - 1)
        return out

    # -- mutated ------------------------------------------------------------------------------------------------------

    def _mutate(self, value: Any) -> Any:
        rng = self._rng
        if isinstance(value, dict) and value and rng.random() < 0.7:
            name = rng.choice(sorted(value))
            if rng.random() < 0.5:
                value[name] = self._mutate(value[name])
                return value
            return self._mutated_object(value, name)
        if isinstance(value, list) and value and rng.random() < 0.7:
            index = rng.randrange(len(value))
            if rng.random() < 0.5:
                value[index] = self._mutate(value[index])
                return value
            return self._mutated_array(value, index)
        if isinstance(value, str) and rng.random() < 0.6:
            place = rng.randint(0, len(value))
            extra = rng.choice(["", "a", "é", "😀", "1", " ", "\n", '"'])
            return value[:place] + extra + value[place + rng.randint(0, 1) :]
        if isinstance(value, int | float) and not isinstance(value, bool) and rng.random() < 0.6:
            return rng.choice([value + 1, value - 1, value + 0.5, -value, value * 10, value / 10])
        return self.pools.random(rng, 2)

    def _mutated_object(self, value: dict[str, Any], name: str) -> dict[str, Any]:
        kind = self._rng.randrange(4)
        if kind == 0:
            del value[name]
        elif kind == 1:
            value[self._rng.choice(self.pools.names)] = value.pop(name)
        else:
            value[self._rng.choice(self.pools.names)] = self.pools.random(self._rng, 1)
        if kind == 3:
            items = list(value.items())
            self._rng.shuffle(items)
            return dict(items)
        return value

    def _mutated_array(self, value: list[Any], index: int) -> list[Any]:
        kind = self._rng.randrange(4)
        if kind == 0:
            del value[index]
        elif kind == 1:
            value.insert(index, copy.deepcopy(value[index]))
        elif kind == 2:
            value.append(self.pools.random(self._rng, 1))
        else:
            self._rng.shuffle(value)
        return value


def _throw_together(out: dict[str, Any], more: Mapping[str, Any]) -> None:
    """Roughly a conjunction: maps are merged, the rest is taken where it is missing."""
    for keyword, value in more.items():
        mine = out.get(keyword)
        if isinstance(mine, dict) and isinstance(value, dict) and keyword != "const":
            out[keyword] = {**value, **mine}
        elif keyword == "required" and mine:
            out[keyword] = list(dict.fromkeys([*mine, *value]))
        else:
            out.setdefault(keyword, value)


_HINTS = {
    "object": ("properties", "patternProperties", "additionalProperties", "required", "propertyNames", "minProperties",
               "maxProperties", "dependencies", "dependentRequired", "dependentSchemas", "unevaluatedProperties"),
    "array": ("items", "prefixItems", "additionalItems", "contains", "minItems", "maxItems", "uniqueItems",
              "unevaluatedItems", "minContains", "maxContains"),
    "string": ("pattern", "format", "minLength", "maxLength"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
}  # fmt: skip


def _suggested(schema: Mapping[str, Any], rng: random.Random) -> list[str]:
    """Types of which the keywords speak, mostly."""
    found = [kind for kind, keywords in _HINTS.items() if any(keyword in schema for keyword in keywords)]
    if found and rng.random() < 0.85:
        return found
    return ["null", "boolean", "integer", "number", "string", "array", "object"]


def as_given(value: Any, schema: Any) -> Any:
    """The value, its objects with their members in the order in which ``enum`` or ``const`` lists an equal object."""
    given: list[dict[str, Any]] = []
    todo: list[Any] = []
    for part in subschemas(schema):
        todo += [part.get("const"), part.get("enum", [])]
    while todo:
        one = todo.pop()
        if isinstance(one, dict):
            given.append(one)
            todo += one.values()
        elif isinstance(one, list):
            todo += one

    def ordered(part: Any) -> Any:
        if isinstance(part, list):
            return [ordered(item) for item in part]
        if not isinstance(part, dict):
            return part
        same = next((other for other in given if other == part), part)
        return {name: ordered(part[name]) for name in same}

    return ordered(value)
