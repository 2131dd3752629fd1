"""Which formulas some value satisfies (invariant I3: nothing that leads nowhere is ever offered).

Satisfiability is a least fixpoint over what a value cannot do without: the required properties of an object, the
first ``minItems`` items of an array. A formula that needs itself, through required properties only, has no finite value.

    possible(φ) = some conjunct of φ has some type left whose parts are all possible
    a formula met again while it is being decided counts as impossible; a "no" that leaned on such a guess is kept only
    by the formula at which the recursion began (Tarjan's low link), a "yes" is always final

Answers are memoized and asked for as late as a branch is about to be offered. Most subschemas are decided by a look at
their keywords, without being normalized.
"""

from __future__ import annotations

from grammar_engine.compiler.frontends.json_schema.conjunction import (
    ARRAY,
    FALSE,
    FRACTION,
    INTEGER,
    NULL,
    OBJECT,
    STRING,
    TRUE,
    Conjunct,
    Formula,
    Formulas,
    identity,
)
from grammar_engine.compiler.frontends.json_schema.dialects import Dialect
from grammar_engine.compiler.frontends.json_schema.lexical import Lexical
from grammar_engine.compiler.frontends.json_schema.literals import is_writable
from grammar_engine.compiler.frontends.json_schema.names import is_spellable
from grammar_engine.compiler.frontends.json_schema.plans import ArrayPlan, ObjectPlan
from grammar_engine.compiler.frontends.json_schema.scalars import (
    number_is_possible,
    number_key,
    number_satisfies,
    string_key,
)

# A schema without any of these has a value, whatever else it says.
_MAY_BE_EMPTY = frozenset(
    "$ref type allOf anyOf oneOf not if enum const required minItems pattern maxLength format maximum "
    "exclusiveMaximum exclusiveMinimum multipleOf minProperties contains propertyNames dependencies "
    "dependentRequired dependentSchemas".split()
)
_BESIDE_TYPE = _MAY_BE_EMPTY - {"type"}
_SCALARS = NULL | TRUE | FALSE


class Productivity:
    """Decides formulas of one document, and keeps the plans that deciding needs."""

    def __init__(self, formulas: Formulas, dialect: Dialect, lexical: Lexical) -> None:
        self._formulas = formulas
        self._dialect = dialect
        self._lexical = lexical
        self._decided: dict[Formula, bool] = {}
        self._open: dict[Formula, int] = {}
        self._low = 0  # depth of the outermost open formula that the last "no" leaned on
        self._objects: dict[Conjunct, ObjectPlan] = {}
        self._arrays: dict[Conjunct, ArrayPlan] = {}

    def object_plan(self, conjunct: Conjunct) -> ObjectPlan:
        """The plan of the objects of a conjunct."""
        plan = self._objects.get(conjunct)
        if plan is None:
            plan = self._objects[conjunct] = ObjectPlan(conjunct, self._formulas)
        return plan

    def array_plan(self, conjunct: Conjunct) -> ArrayPlan:
        """The plan of the arrays of a conjunct."""
        plan = self._arrays.get(conjunct)
        if plan is None:
            plan = self._arrays[conjunct] = ArrayPlan(conjunct, self._formulas, self._dialect)
        return plan

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
        if types & (INTEGER | FRACTION) and number_is_possible(number_key(conjunct)):
            left |= types & (INTEGER | FRACTION)
        if types & OBJECT and self._object_is_possible(conjunct):
            left |= OBJECT
        if types & ARRAY and self._array_is_possible(conjunct):
            left |= ARRAY
        return left

    def _object_is_possible(self, conjunct: Conjunct) -> bool:
        if not conjunct.required:
            return True
        plan = self.object_plan(conjunct)
        return all(is_spellable(name) and self.possible(plan.member(name)) for name in conjunct.required)

    def _array_is_possible(self, conjunct: Conjunct) -> bool:
        if not conjunct.min_items:
            return True
        plan = self.array_plan(conjunct)
        if plan.maximum is not None and plan.maximum < plan.minimum:
            return False
        count = min(plan.minimum, len(plan.prefix))
        return all(map(self.possible, plan.prefix[:count])) and (count == plan.minimum or self.possible(plan.rest))

    # -- membership: used to filter the values that enum and const give -----------------------------------------------

    def satisfies(self, formula: Formula | None, value: object) -> bool:
        """Does ``value`` satisfy the formula?"""
        if formula is None:
            return False
        return any(
            self.holds(conjunct, value) and (conjunct.values is None or _among(value, conjunct.values))
            for conjunct in self._formulas.normal(formula)
        )

    def holds(self, conjunct: Conjunct, value: object) -> bool:
        """Does ``value`` satisfy everything in the conjunct but its list of values?"""
        if not type_bit(value) & conjunct.types or not is_writable(value):
            return False
        if isinstance(value, str):
            return self._lexical.string_satisfies(string_key(conjunct), value)
        if isinstance(value, dict):
            plan = self.object_plan(conjunct)
            return all(name in value for name in conjunct.required) and all(
                self.satisfies(plan.member(name), member) for name, member in value.items()
            )
        if isinstance(value, list):
            items = self.array_plan(conjunct)
            return (
                len(value) >= items.minimum
                and (items.maximum is None or len(value) <= items.maximum)
                and all(self.satisfies(items.item(index), item) for index, item in enumerate(value))
            )
        if isinstance(value, int | float) and not isinstance(value, bool):
            return number_satisfies(number_key(conjunct), value)
        return True


def type_bit(value: object) -> int:
    """The type of a JSON value, as a bit."""
    if value is None:
        return NULL
    if isinstance(value, bool):
        return TRUE if value else FALSE
    if isinstance(value, int):
        return INTEGER
    if isinstance(value, float):
        return INTEGER if value.is_integer() else FRACTION
    if isinstance(value, str):
        return STRING
    return ARRAY if isinstance(value, list) else OBJECT


def _among(value: object, values: list[object]) -> bool:
    name = identity(value)
    return any(identity(other) == name for other in values)
