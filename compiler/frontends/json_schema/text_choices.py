"""Choices between schemas, of strings: one formula over patterns, formats, lengths and given strings.

Where a value is known to be a string, several choices at once need not be multiplied out: a formula becomes a single
automaton, in which what is read decides between the branches. Keywords that speak of other types hold of every string.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from grammar_engine.compiler.automaton_product import FALSE, TRUE, All, Formula, Is, Not, Some, operands_of, settle
from grammar_engine.compiler.errors import LimitExceededError
from grammar_engine.compiler.frontends.json_schema.dialects import Dialect
from grammar_engine.compiler.frontends.json_schema.internal import Internal
from grammar_engine.compiler.frontends.json_schema.references import Schema

STRING_BIT = 32
MAX_FORMULA = 20_000
"""Parts of what schemas ask of one string."""
MAX_UNROLLED_LENGTH = 256
"""Lengths up to which a choice between them becomes states."""


class TextFormulas:
    """The formulas of the schemas of one document, each made once."""

    def __init__(
        self, dialect: Dialect, targets: Mapping[int, Schema], overlaps: Mapping[int, Sequence[Sequence[int]]]
    ) -> None:
        """As in ``Formulas``."""
        self._dialect = dialect
        self._targets = targets
        self._overlaps = overlaps
        self._made: dict[int, Formula] = {}
        self._sizes: dict[int, int] = {}
        self._kept: list[dict[Any, Any]] = []  # an identity stays a schema's own as long as the schema lives

    def of(self, schema: Schema) -> Formula:
        """What the schema asks of a string."""
        if isinstance(schema, bool):
            return TRUE if schema else FALSE
        found = self._made.get(id(schema))
        if found is None:
            found = self._made[id(schema)] = All(tuple(self._parts(schema)))
            self._kept.append(schema)
            if self._size(found) > MAX_FORMULA:
                raise LimitExceededError("what is asked of one string", limit=f"{MAX_FORMULA} parts", given="more")
        return found

    def _size(self, formula: Formula) -> int:
        """Parts, those that several places share counted at each: that is how often they are looked at."""
        if isinstance(formula, Is):
            return 1
        size = self._sizes.get(id(formula))
        if size is None:
            parts = (formula.part,) if isinstance(formula, Not) else formula.parts
            size = self._sizes[id(formula)] = 1 + sum(map(self._size, parts))
        return size

    def choices(self, choices: Sequence[Sequence[Schema]]) -> Formula | None:
        """Some branch of every choice; None if that compares lengths so great that they are better counted."""
        formula = All(tuple(Some(tuple(map(self.of, choice))) for choice in choices))
        for kind, detail in map(_named, operands_of(formula)):
            if kind in ("least", "most") and detail > MAX_UNROLLED_LENGTH:
                return None
        return settle(formula, {})

    def _parts(self, schema: dict[Any, Any]) -> list[Formula]:
        parts: list[Formula] = []
        if "$ref" in schema:
            parts.append(self.of(self._targets[id(schema)]))
            if self._dialect.ref_overrides:
                return parts
        for keyword, value in schema.items():
            if not isinstance(keyword, Internal) and keyword not in self._dialect.keywords:
                continue
            if keyword in _ATOMS:
                parts.append(_ATOMS[keyword](value))
            elif keyword == "allOf":
                parts += map(self.of, value)
            elif keyword == "anyOf":
                parts.append(Some(tuple(map(self.of, value))))
            elif keyword == "oneOf":
                parts.append(self._one_of(schema, value))
            elif keyword == "not":
                parts.append(Not(self.of(value)))
            elif keyword == "if":
                condition = self.of(value)
                parts.append(Some((Not(condition), self.of(schema.get("then", True)))))
                parts.append(Some((condition, self.of(schema.get("else", True)))))
        return parts

    def _one_of(self, schema: dict[Any, Any], branches: list[Schema]) -> Formula:
        overlaps = self._overlaps.get(id(schema))
        formulas = [self.of(branch) for branch in branches]
        options: list[Formula] = []
        for index, formula in enumerate(formulas):
            others = range(len(branches)) if overlaps is None else overlaps[index]
            options.append(All((formula, *(Not(formulas[other]) for other in others if other != index))))
        return Some(tuple(options))


def _type(value: str | list[str]) -> Formula:
    return TRUE if value == "string" or (isinstance(value, list) and "string" in value) else FALSE


def _among(values: list[object]) -> Formula:
    texts = tuple(sorted({value for value in values if isinstance(value, str)}))
    return Is(("among", texts)) if texts else FALSE


_ATOMS: Mapping[Any, Callable[[Any], Formula]] = {
    "type": _type,
    "enum": _among,
    "const": lambda value: _among([value]),
    "pattern": lambda value: Is(("pattern", value)),
    "format": lambda value: Is(("format", value)),
    "minLength": lambda value: Is(("least", int(value))),
    "maxLength": lambda value: Is(("most", int(value))),
    Internal.TYPES: lambda bits: TRUE if bits & STRING_BIT else FALSE,
    Internal.EXCLUDED: lambda texts: Not(_among(list(texts))),
    Internal.NOT_PATTERN: lambda value: Not(Is(("pattern", value))),
    Internal.NOT_FORMAT: lambda value: Not(Is(("format", value))),
}


def _named(atom: object) -> tuple[str, Any]:
    """An operand of these formulas: its kind and what it says."""
    kind, detail = cast("tuple[str, Any]", atom)
    return kind, detail
