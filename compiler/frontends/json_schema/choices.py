"""The choices that a schema's keywords leave open, each as a list of schemas of which at least one must hold.

    anyOf [A, B]             A or B
    oneOf [A, B]             A and not B, or B and not A; a branch is not negated against one that excludes it anyway
    if I then T else E       I and T, or not I and E
    dependencies {p: D}      no property p, or D

Each choice is made once per schema, so that its branches keep their identity: a branch that was taken elsewhere is
recognized by it (``branches.py``), which is what ``unevaluated.py`` relies on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from grammar_engine.compiler.frontends.json_schema.dialects import Dialect
from grammar_engine.compiler.frontends.json_schema.negation import negated
from grammar_engine.compiler.frontends.json_schema.references import Schema

_CHOOSING = frozenset(("anyOf", "oneOf", "if", "dependencies", "dependentRequired", "dependentSchemas"))
_DEPENDENCIES = ("dependencies", "dependentRequired", "dependentSchemas")


class Choice(NamedTuple):
    """One choice. subject: the property that a dependency speaks of, else None. branches: what may hold."""

    keyword: str
    subject: str | None
    branches: list[Schema]


@lru_cache(maxsize=16)
def choosing_keywords(dialect: Dialect) -> frozenset[str]:
    """The keywords that make choices."""
    return _CHOOSING & dialect.keywords


class Choices:
    """The choices of the schemas of one document."""

    def __init__(self, dialect: Dialect, overlaps: Mapping[int, Sequence[Sequence[int]]]) -> None:
        """overlaps: per ``oneOf``, the branches that each branch may meet."""
        self.keywords = choosing_keywords(dialect)
        self._overlaps = overlaps
        self._negated: dict[int, Schema] = {}  # each keeps the branch, and so its identity
        self._made: dict[int, tuple[dict[Any, Any], list[Choice]]] = {}  # the schema is kept, and so its identity

    def of(self, schema: dict[Any, Any]) -> list[Choice]:
        """The choices of a schema, in a fixed order."""
        made = self._made.get(id(schema))
        if made is None:
            made = self._made[id(schema)] = (schema, self._make(schema))
        return made[1]

    def overlaps_of(self, schema: dict[Any, Any]) -> Sequence[Sequence[int]]:
        """Per branch of a schema's ``oneOf``: the others that it may meet, and perhaps itself."""
        overlaps = self._overlaps.get(id(schema))
        if overlaps is None:
            count = len(schema["oneOf"])
            overlaps = [range(count)] * count
        return overlaps

    def negated(self, branch: Schema) -> Schema:
        """``not: branch``, one schema for each branch."""
        found = self._negated.get(id(branch))
        if found is None:
            found = self._negated[id(branch)] = negated(branch)
        return found

    def _make(self, schema: dict[Any, Any]) -> list[Choice]:
        made: list[Choice] = []
        if "anyOf" in schema:
            made.append(Choice("anyOf", None, schema["anyOf"]))
        if "oneOf" in schema:
            branches = schema["oneOf"]
            overlaps = self.overlaps_of(schema)
            alone: list[Schema] = []
            for index, branch in enumerate(branches):
                against = [self.negated(branches[other]) for other in overlaps[index] if other != index]
                alone.append({"allOf": [branch, *against]} if against else branch)
            made.append(Choice("oneOf", None, alone))
        if "if" in self.keywords and "if" in schema and ("then" in schema or "else" in schema):
            condition = schema["if"]
            both: list[Schema] = [
                {"allOf": [condition, schema.get("then", True)]},
                {"allOf": [negated(condition), schema.get("else", True)]},
            ]
            made.append(Choice("if", None, both))
        for keyword in _DEPENDENCIES:
            if keyword in self.keywords:
                for name, asked in schema.get(keyword, {}).items():
                    then = {"required": asked} if isinstance(asked, list) else asked
                    either: list[Schema] = [{"properties": {name: False}}, {"required": [name], "allOf": [then]}]
                    made.append(Choice(keyword, name, either))
        return made
