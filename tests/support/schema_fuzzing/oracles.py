"""The two validators, and the explicit rules by which a difference counts as explained.

A verdict is compared with both validators as they come. Only where the three are not equal are they asked again with
*repairs*, each of which replaces one thing in which a validator is known to deviate from the standard:

    python numbers        jsonschema divides and compares floats: 0.3 is no multiple of 0.1 there
    regex                 jsonschema matches with ``re``: ``\\d`` is Unicode, ``$`` also stands before a last line feed;
                          in jsonschema-rs the dot stands for line separators
    draft 4 integers      1.0 is no integer in draft 4; here it is one in every draft, as in those that followed
    python unevaluated    jsonschema overlooks what some keywords evaluate; jsonschema-rs does not
    restricted format     regex and hostname are documented as smaller here; one validator agrees with us
    contains in 2019-09   does not evaluate items for unevaluatedItems there (§9.3.1.3), though both validators have it
                          so; behind two negations, which keep no annotation, it does not for them either
    python fails          jsonschema raises a TypeError for ``items: true`` beside some keywords
    format NAME           a validator deviates from a labelled example; jsonschema does not know the format in this
                          draft, or checks it superficially (an email is any text with an @), and jsonschema-rs does not
    more digits than a double   jsonschema-rs compares doubles; jsonschema, given the exact number, agrees with us

A difference is explained if the repaired validators agree with us; the repairs that it took are counted.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import lru_cache
from typing import Any, cast

import jsonschema
import jsonschema.validators
import jsonschema_rs

from schema_fuzzing.numbers import EXACT_KEYWORDS, exact_value, has_many_digits
from schema_fuzzing.schemas import Draft, subschemas
from schema_fuzzing.strings import FORMATS, PYTHON_PATTERNS, RUST_PATTERNS

_PYTHON = {
    "4": jsonschema.Draft4Validator,
    "6": jsonschema.Draft6Validator,
    "7": jsonschema.Draft7Validator,
    "2019-09": jsonschema.Draft201909Validator,
    "2020-12": jsonschema.Draft202012Validator,
}
_RUST = {
    "4": jsonschema_rs.Draft4Validator,
    "6": jsonschema_rs.Draft6Validator,
    "7": jsonschema_rs.Draft7Validator,
    "2019-09": jsonschema_rs.Draft201909Validator,
    "2020-12": jsonschema_rs.Draft202012Validator,
}

IsValid = Callable[[Any], bool | None]


@lru_cache
def _format_check(name: str) -> IsValid:
    """Knows the labelled examples, and asks jsonschema-rs, as of the last draft, about all other strings."""
    good, bad = FORMATS.get(name, ((), ()))
    otherwise = jsonschema_rs.Draft202012Validator({"format": name}, validate_formats=True)

    def check(value: Any) -> bool:
        if not isinstance(value, str) or value in good:
            return True
        if name == "email":  # jsonschema-rs refuses a label with two hyphens, which RFC 5321 has (Ldh-str)
            value = re.sub("(?<=[A-Za-z0-9])--+(?=[A-Za-z0-9])", "-", value)
        return value not in bad and bool(otherwise.is_valid(value))

    return check


def _translated(schema: Any, patterns: dict[str, str]) -> Any:
    """A copy of the schema whose patterns mean to a validator what they mean to ECMA-262."""
    schema = copy.deepcopy(schema)
    for part in subschemas(schema):
        if "pattern" in part:
            part["pattern"] = patterns.get(part["pattern"], part["pattern"])
        if "patternProperties" in part:
            part["patternProperties"] = {patterns.get(p, p): s for p, s in part["patternProperties"].items()}
    return schema


def _without_evaluating_contains(schema: Any) -> Any:
    """A copy of the schema in which ``contains`` leaves no annotation for ``unevaluatedItems``."""
    schema = copy.deepcopy(schema)
    for part in subschemas(schema):
        if "contains" in part:
            counted = {name: part.pop(name) for name in ("contains", "minContains", "maxContains") if name in part}
            part["allOf"] = [*part.get("allOf", ()), {"not": {"not": counted}}]
    return schema


class Oracles:
    """Both validators for one schema."""

    def __init__(self, schema: Any, draft: Draft) -> None:
        self._schema = schema
        self._draft = draft
        self._python = self._with_python(schema, {})
        self._rust = self._with_rust(schema, {})
        self._repaired: dict[str, tuple[IsValid, IsValid]] = {}
        self._unevaluated = any("unevaluated" in keyword for part in subschemas(schema) for keyword in part)
        self._restricted = any(part.get("format") in ("regex", "hostname") for part in subschemas(schema))
        self._repairs = list(self._possible_repairs())

    def verdicts(self, value: Any) -> tuple[bool | None, bool]:
        """What jsonschema and jsonschema-rs say; None where jsonschema fails."""
        return self._python(value), self._rust(value)

    def explanation(self, value: Any, text: str, ours: bool) -> str | None:
        """The repairs with which both validators say what we say; None if there are none."""
        if self._python(value) is None and self._with("all")[1](value) == ours:
            return "python fails"
        for name in (*self._repairs, "all"):
            python, rust = self._with(name)
            rust_knows = "draft 4 integers" not in (name, *(self._repairs if name == "all" else ()))
            if python(value) == ours and (not rust_knows or rust(value) == ours):
                return name if name != "all" else " + ".join(self._repairs)
        if self._restricted and ours in self.verdicts(value):
            return "restricted format"
        if self._unevaluated and self._with("all")[1](value) == ours:
            return "python unevaluated"
        if (has_many_digits(text) or has_many_digits(json.dumps(self._schema))) and self._with("all")[0](
            exact_value(text)
        ) == ours:
            return "more digits than a double"
        return None

    def _possible_repairs(self) -> Iterator[str]:
        parts = subschemas(self._schema)
        if any(not part.keys().isdisjoint(EXACT_KEYWORDS) for part in parts):
            yield "python numbers"
        if self._draft.name == "4" and any("integer" in part.get("type", ()) for part in parts):
            yield "draft 4 integers"
        if any("pattern" in part or "patternProperties" in part for part in parts):
            yield "regex"
        keywords = {keyword for part in parts for keyword in part}
        if self._draft.name == "2019-09" and {"contains", "unevaluatedItems"} <= keywords:
            yield "contains in 2019-09"
        names = sorted({part["format"] for part in parts if "format" in part})
        yield from (f"format {name}" for name in names)

    def _with(self, repair: str) -> tuple[IsValid, IsValid]:
        found = self._repaired.get(repair)
        if found is None:
            chosen = set(self._repairs if repair == "all" else [repair])
            formats = {name.removeprefix("format ") for name in chosen if name.startswith("format ")}
            checks = {name: _format_check(name) for name in formats}
            schemas = [self._schema, self._schema]
            if "regex" in chosen:
                schemas = [_translated(self._schema, patterns) for patterns in (PYTHON_PATTERNS, RUST_PATTERNS)]
            if "contains in 2019-09" in chosen:
                schemas = [_without_evaluating_contains(schema) for schema in schemas]
            python = self._with_python(schemas[0], checks, chosen)
            found = self._repaired[repair] = (python, self._with_rust(schemas[1], checks))
        return found

    def _with_python(self, schema: Any, checks: Mapping[str, IsValid], chosen: Collection[str] = ()) -> IsValid:
        kind = _PYTHON[self._draft.name]
        checker = kind.FORMAT_CHECKER
        if checks:
            plain = checker
            checker = jsonschema.FormatChecker(())
            checker.checkers = {**plain.checkers, **{name: (check, ()) for name, check in checks.items()}}
        if "draft 4 integers" in chosen:
            kind = jsonschema.validators.extend(kind, type_checker=jsonschema.Draft6Validator.TYPE_CHECKER)
        if "python numbers" in chosen:
            kind = jsonschema.validators.extend(kind, EXACT_KEYWORDS)
        validator = kind(schema, format_checker=checker)

        def verdict(value: Any) -> bool | None:
            try:
                return bool(validator.is_valid(value))
            except TypeError:  # it takes the length of ``items: true``
                return None

        return verdict

    def _with_rust(self, schema: Any, checks: Mapping[str, IsValid]) -> IsValid:
        kind = _RUST[self._draft.name]
        return cast("IsValid", kind(schema, validate_formats=True, formats=dict(checks) or None).is_valid)
