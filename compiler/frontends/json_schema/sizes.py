"""How many values a formula has, at least and at most: asked where items must differ.

Exact for scalars. For objects and arrays the answer is "endless" where that is easily seen, else a guess on the safe
side.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from grammar_engine.compiler.errors import LimitExceededError
from grammar_engine.compiler.frontends.json_schema.conjunction import Formula, Formulas
from grammar_engine.compiler.frontends.json_schema.conjuncts import Conjunct
from grammar_engine.compiler.frontends.json_schema.extras import is_thin, size_of
from grammar_engine.compiler.frontends.json_schema.json_types import (
    ARRAY,
    FALSE,
    FRACTION,
    INTEGER,
    NULL,
    OBJECT,
    STRING,
    TRUE,
    identity,
)
from grammar_engine.compiler.frontends.json_schema.lexical import Lexical
from grammar_engine.compiler.frontends.json_schema.scalars import StringKey, count_of_numbers, number_key, string_key

if TYPE_CHECKING:
    from grammar_engine.compiler.frontends.json_schema.arrays import Arrays
    from grammar_engine.compiler.frontends.json_schema.objects import Objects

ENDLESS = 1 << 60
_SCALARS = (NULL, TRUE, FALSE)
_MAX_STATES = 2000


class Deciding(Protocol):
    """The part of ``Productivity`` that is asked here."""

    objects: Objects
    arrays: Arrays

    def possible(self, formula: Formula | None) -> bool:
        """Does some value satisfy the formula?"""

    def types(self, conjunct: Conjunct) -> int:
        """The types of which some value satisfies the conjunct."""

    def holds(self, conjunct: Conjunct, value: object) -> bool:
        """Does the value satisfy it?"""


class Sizes:
    """Counts the values of the formulas of one document."""

    def __init__(self, productivity: Deciding, formulas: Formulas, lexical: Lexical) -> None:
        self._productivity = productivity
        self._formulas = formulas
        self._lexical = lexical
        self._open: set[Formula] = set()

    def of(self, formula: Formula) -> tuple[int, int]:
        """How many values satisfy the formula, at least and at most."""
        if formula in self._open:
            return 0, ENDLESS
        self._open.add(formula)
        bounds = [self._of_conjunct(conjunct) for conjunct in self._formulas.normal(formula)]
        self._open.discard(formula)
        least = max((low for low, _ in bounds), default=0)
        return least, min(ENDLESS, sum(high for _, high in bounds))

    def are_inexhaustible_strings(self, formula: Formula) -> bool:
        """Are all values strings, and are there endlessly many behind every beginning of one?"""
        return all(
            conjunct.types == STRING and conjunct.values is None and self._is_inexhaustible(string_key(conjunct))
            for conjunct in self._formulas.normal(formula)
        )

    def _is_inexhaustible(self, key: StringKey) -> bool:
        if key.maximum is not None:
            return False
        return key == StringKey(key.minimum, None) or not is_thin(self._lexical.value_automaton(key))

    def _of_conjunct(self, conjunct: Conjunct) -> tuple[int, int]:
        decide = self._productivity
        if conjunct.values is not None:
            count = len({identity(value) for value in conjunct.values if decide.holds(conjunct, value)})
            return count, count
        types = decide.types(conjunct)
        least = most = sum(bool(types & bit) for bit in _SCALARS)
        if types & STRING:
            low, high = self._of_strings(string_key(conjunct))
            least, most = least + low, most + high
        if types & (INTEGER | FRACTION):
            low, bound = count_of_numbers(number_key(conjunct))
            least, most = least + low, most + (ENDLESS if bound is None else bound)
        if types & OBJECT:
            least, most = least + self._of_objects(conjunct), ENDLESS
        if types & ARRAY:
            plan = decide.arrays.plan(conjunct)
            endless = plan.simple and plan.maximum is None and decide.possible(plan.rest)
            least, most = least + (ENDLESS if endless else 1), ENDLESS
        return min(least, ENDLESS), min(most, ENDLESS)

    def _of_strings(self, key: StringKey) -> tuple[int, int]:
        if key == StringKey(key.minimum, key.maximum):
            if key.maximum is None or key.maximum > 2:
                return ENDLESS, ENDLESS  # (10¹⁸ texts of three characters are endless here)
        elif key.maximum is None and not is_thin(self._lexical.value_automaton(key)):
            return ENDLESS, ENDLESS
        try:
            size = size_of(self._lexical.value_automaton(key), limit=_MAX_STATES)
        except LimitExceededError:
            return 1, ENDLESS
        return (ENDLESS, ENDLESS) if size is None else (size, size)

    def _of_objects(self, conjunct: Conjunct) -> int:
        """At least so many."""
        decide = self._productivity
        if conjunct.choices:
            return 1
        plan = decide.objects.plan(conjunct)
        if not plan.simple:
            return 1
        if any(names.size is None for names in decide.objects.extras(plan)):
            return ENDLESS
        count = 1
        for member, required in zip(plan.members, plan.required, strict=True):
            if member is not None and decide.possible(member):
                count *= self.of(member)[0] + (not required)
        return min(count, ENDLESS)
