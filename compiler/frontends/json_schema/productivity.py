"""Which formulas some value satisfies (invariant I3: nothing that leads nowhere is ever offered).

Satisfiability is a least fixpoint over what a value cannot do without: the required properties of an object, the
first ``minItems`` items of an array. A formula that needs itself through required properties only has no finite value.

    possible(φ) = some conjunct of φ has some type left whose parts are all possible
    a formula met again while it is being decided counts as impossible; a "no" that leaned on such a guess is kept only
    by the formula at which the recursion began (Tarjan's low link), a "yes" is always final

Answers are memoized and asked for as late as a branch is about to be offered. Most subschemas are decided by a look at
their keywords, without being normalized.
"""

from __future__ import annotations

from collections.abc import Callable

from grammar_engine.compiler.errors import LimitExceededError
from grammar_engine.compiler.frontends.json_schema.arrays import Arrays
from grammar_engine.compiler.frontends.json_schema.conjunction import Formula, Formulas
from grammar_engine.compiler.frontends.json_schema.conjuncts import Conjunct
from grammar_engine.compiler.frontends.json_schema.dialects import Dialect
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
    type_bit,
)
from grammar_engine.compiler.frontends.json_schema.lexical import Lexical
from grammar_engine.compiler.frontends.json_schema.literals import is_writable
from grammar_engine.compiler.frontends.json_schema.objects import Objects
from grammar_engine.compiler.frontends.json_schema.references import Schema
from grammar_engine.compiler.frontends.json_schema.scalars import (
    StringKey,
    number_key,
    number_satisfies,
    string_key,
)
from grammar_engine.compiler.frontends.json_schema.sizes import Sizes
from grammar_engine.compiler.limits import Deadline

# A schema without any of these has a value, whatever else it says.
_MAY_BE_EMPTY = frozenset(
    [
        "$ref",
        "type",
        "allOf",
        "anyOf",
        "oneOf",
        "not",
        "if",
        "enum",
        "const",
        "required",
        "minItems",
        "pattern",
        "maxLength",
        "format",
        "maximum",
        "exclusiveMaximum",
        "exclusiveMinimum",
        "multipleOf",
        "minProperties",
        "contains",
        "propertyNames",
        "dependencies",
        "dependentRequired",
        "dependentSchemas",
    ]
)
MAX_OPEN = 40
"""Formulas that are being decided inside each other; each takes a few levels of Python's stack."""
_BESIDE_TYPE = _MAY_BE_EMPTY - {"type"}
_SCALARS = NULL | TRUE | FALSE
_ANY_STRING = StringKey(0, None)


class _TooDeepError(Exception):
    """A formula that must be decided before the one that asks for it."""

    def __init__(self, formula: Formula) -> None:
        super().__init__(formula)
        self.formula = formula


class Productivity:
    """Decides formulas of one document, and keeps the plans that deciding needs."""

    def __init__(
        self,
        formulas: Formulas,
        dialect: Dialect,
        lexical: Lexical,
        deadline: Deadline,
        *,
        any_order: bool,
        place: Callable[[set[int]], str],
    ) -> None:
        """place: see ``Arrays``."""
        self._deadline = deadline
        self._formulas = formulas
        self._lexical = lexical
        self._decided: dict[Formula, bool] = {}
        self._identities: dict[Conjunct, frozenset[object]] = {}
        self._open: dict[Formula, int] = {}
        self._low = 0  # depth of the outermost open formula that the last "no" leaned on
        self.objects = Objects(
            formulas,
            lexical,
            self.possible,
            self.satisfies,
            deciding=self._deciding,
            any_order=any_order,
            deadline=deadline,
        )
        self.arrays = Arrays(
            formulas,
            dialect,
            self.possible,
            self.satisfies,
            self.held,
            self._deciding,
            Sizes(self, formulas, lexical),
            place,
        )

    def _deciding(self) -> bool:
        return bool(self._open)

    def possible(self, formula: Formula | None) -> bool:
        """Does some value satisfy the formula? (None, plainly false: no.)"""
        if formula is None:
            return False
        known = self._decided.get(formula)
        if known is not None:
            return known
        schemas = self._formulas.schemas(formula)
        if not schemas or (len(schemas) == 1 and _BESIDE_TYPE.isdisjoint(schemas[0])):
            self._decided[formula] = True
            return True
        depth = self._open.get(formula)
        if depth is not None:
            self._low = min(self._low, depth)
            return False
        if not self._open:
            return self._decide_from_here(formula)
        if len(self._open) >= MAX_OPEN:
            raise _TooDeepError(formula)
        return self._decide(formula)

    def _decide_from_here(self, formula: Formula) -> bool:
        """What lies too deep is decided first, on its own: then the way to it is known, and as long as need be.

        An answer found from nothing is final, whatever was being decided when it turned out to be needed.
        """
        pending = [formula]
        while True:
            try:
                answer = self._decide(pending[-1])
            except _TooDeepError as deeper:
                self._open.clear()
                self._low = 0
                if deeper.formula in pending:
                    raise LimitExceededError(
                        "required parts lead back to themselves over too many levels", limit=f"{MAX_OPEN}", given="more"
                    ) from None
                pending.append(deeper.formula)
            else:
                pending.pop()
                if not pending:
                    return answer

    def _decide(self, formula: Formula) -> bool:
        self._deadline.tick()
        depth = len(self._open)
        self._open[formula] = depth
        outer, self._low = self._low, depth
        answer = any(self.types(conjunct) for conjunct in self._formulas.normal(formula))
        del self._open[formula]
        if answer or self._low >= depth:
            self._decided[formula] = answer
            self._low = outer
        else:
            self._low = min(self._low, outer)
        return answer

    def types(self, conjunct: Conjunct) -> int:
        """The types, as bits, of which some value satisfies the conjunct. With given values: the types not lost."""
        types = conjunct.types
        if conjunct.values is not None:
            return types if any(self.holds(conjunct, value) for value in conjunct.values) else 0
        left = types & _SCALARS
        if types & STRING and self._lexical.string_is_possible(string_key(conjunct)):
            left |= STRING
        if types & (INTEGER | FRACTION) and self._lexical.number_is_possible(number_key(conjunct)):
            left |= types & (INTEGER | FRACTION)
        if types & OBJECT and self.objects.is_possible(conjunct):
            left |= OBJECT
        if types & ARRAY and self.arrays.is_possible(conjunct):
            left |= ARRAY
        return left

    # -- membership: used to filter the values that enum and const give -----------------------------------------------

    def satisfies(self, formula: Formula | None, value: object) -> bool:
        """Does ``value`` satisfy the formula?"""
        if formula is None:
            return False
        return any(
            self.holds(conjunct, value) and (conjunct.values is None or identity(value) in self._listed(conjunct))
            for conjunct in self._formulas.normal(formula)
        )

    def _listed(self, conjunct: Conjunct) -> frozenset[object]:
        """The identities of a conjunct's values."""
        found = self._identities.get(conjunct)
        if found is None:
            found = self._identities[conjunct] = frozenset(map(identity, conjunct.values or ()))
        return found

    def held(self, conjunct: Conjunct) -> list[object]:
        """Those of the conjunct's values that satisfy the rest of it. Long lists of strings mostly stand alone."""
        values = conjunct.values or []
        if conjunct.types & STRING and string_key(conjunct) == _ANY_STRING:
            return [v for v in values if (is_writable(v) if isinstance(v, str) else self.holds(conjunct, v))]
        return [value for value in values if self.holds(conjunct, value)]

    def holds(self, conjunct: Conjunct, value: object) -> bool:
        """Does ``value`` satisfy everything in the conjunct but its list of values?"""
        if not type_bit(value) & conjunct.types or not is_writable(value):
            return False
        if not all(self._some_holds(choice, value) for choice in conjunct.choices):
            return False
        if isinstance(value, str):
            return self._lexical.string_satisfies(string_key(conjunct), value)
        if isinstance(value, dict):
            return self.objects.holds(conjunct, value)
        if isinstance(value, list):
            return self.arrays.holds(conjunct, value)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return number_satisfies(number_key(conjunct), value)
        return True

    def _some_holds(self, choice: list[Schema], value: object) -> bool:
        return any(self.satisfies(self._formulas.of((branch,)), value) for branch in choice)
