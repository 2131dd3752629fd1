"""Objects: from a plan to productions.

The rest of an object behind some of its properties is one nonterminal, AFTER(plan, seen, count, met):

    seen    index of the last declared property (declared order), or a bit mask of those that have stood (any order;
            of the required ones where nothing is counted and other names are allowed or many, see ``_in_any_order``)
    count   number of properties, as far as minProperties and maxProperties care
    met     which obligations ("some other property has ¬S", from negations) are met, as a bit mask

Right-linear: each production names one property that may come next, up to and including the next required one. An
additional property leads to a left-recursive list once nothing is counted any more, so that the parser's stack is the
same after each of them. A production is offered only if the object can still be finished behind it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import cast

from grammar_engine.compiler.errors import UnsupportedSchemaError
from grammar_engine.compiler.frontends.json_schema.conjunction import Formula, Formulas
from grammar_engine.compiler.frontends.json_schema.conjuncts import Conjunct
from grammar_engine.compiler.frontends.json_schema.derivatives import Derivatives
from grammar_engine.compiler.frontends.json_schema.extras import NameClass, NameClasses
from grammar_engine.compiler.frontends.json_schema.lexical import Lexical
from grammar_engine.compiler.frontends.json_schema.names import is_spellable
from grammar_engine.compiler.frontends.json_schema.object_properties import Given
from grammar_engine.compiler.frontends.json_schema.plans import ObjectPlan
from grammar_engine.compiler.limits import Deadline

_NEVER = 1 << 60
State = tuple[int, int, int]
"""seen, count, met"""


class Objects:
    """Plans of objects, whether they can be finished, and their productions."""

    def __init__(
        self,
        formulas: Formulas,
        lexical: Lexical,
        possible: Callable[[Formula | None], bool],
        satisfies: Callable[[Formula | None, object], bool],
        *,
        deciding: Callable[[], bool],
        any_order: bool,
        deadline: Deadline,
    ) -> None:
        """possible, satisfies, deciding: of ``Productivity``; deciding: is some answer still a guess?"""
        self._formulas = formulas
        self._lexical = lexical
        self.possible = possible
        self._satisfies = satisfies
        self._deciding = deciding
        self.any_order = any_order
        self.classes = NameClasses(formulas, lexical)
        self._plans: dict[Conjunct, ObjectPlan] = {}
        self._extras: dict[ObjectPlan, list[NameClass]] = {}
        self._given = Given(
            formulas, self.classes, possible, satisfies, self._matches, deciding, deadline, any_order=any_order
        )
        self._derivatives: dict[Conjunct, Derivatives] = {}
        self._ranges: dict[tuple[ObjectPlan, int, int], tuple[int, int]] = {}

    def plan(self, conjunct: Conjunct) -> ObjectPlan:
        """The plan of the objects of a conjunct."""
        plan = self._plans.get(conjunct)
        if plan is None:
            plan = self._plans[conjunct] = ObjectPlan(conjunct, self._formulas, self._matches, self._satisfies)
        return plan

    def derivatives(self, conjunct: Conjunct) -> Derivatives:
        """The objects of a conjunct that has choices left."""
        found = self._derivatives.get(conjunct)
        if found is None:
            found = self._derivatives[conjunct] = Derivatives(conjunct, self._given)
        return found

    def is_possible(self, conjunct: Conjunct) -> bool:
        """Does any object satisfy the conjunct?"""
        if conjunct.choices:
            derivatives = self.derivatives(conjunct)
            return derivatives.can_finish(derivatives.start)
        if not conjunct.required and not (conjunct.some_properties or conjunct.min_properties):
            return True
        plan = self.plan(conjunct)
        if not all(is_spellable(name) and self.possible(plan.members[plan.index[name]]) for name in conjunct.required):
            return False
        return plan.simple or self._can_finish(plan, (0 if self.any_order else -1, 0, 0))

    def holds(self, conjunct: Conjunct, value: dict[str, object]) -> bool:
        """Does an object satisfy the conjunct?"""
        plan = self.plan(conjunct)
        if len(value) < plan.minimum or (plan.maximum is not None and len(value) > plan.maximum):
            return False
        if not all(name in value for name in conjunct.required):
            return False
        for name, member in value.items():
            if not self._satisfies(plan.name_formula, name):
                return False
            schemas = [schema for layer in plan.layers for schema in layer.schemas(name, self._matches)]
            if not self._satisfies(self._formulas.of(schemas), member):
                return False
        return all(
            any(self._selects(selector, name) and self._satisfies(formula, value[name]) for name in value)
            for selector, formula in plan.obligations
        )

    # -- what may come next -------------------------------------------------------------------------------------------

    def start(self) -> State:
        """Nothing has stood yet."""
        return (0 if self.any_order else -1, 0, 0)

    def extras(self, plan: ObjectPlan) -> list[NameClass]:
        """The classes of undeclared names that may stand."""
        found = self._extras.get(plan)
        if found is None:
            found = self._extras[plan] = self.classes.divide(plan)
        return [names for names in found if self.possible(names.formula)]

    def following(self, plan: ObjectPlan, seen: int) -> Iterator[int]:
        """Indices of declared names that have not stood and may come next."""
        if self.any_order:
            yield from (index for index in range(len(plan.names)) if not seen >> index & 1)
            return
        required = plan.required
        for index in range(seen + 1, len(plan.names)):
            yield index
            if required[index]:
                return

    def seen_with(self, seen: int, index: int) -> int:
        """``seen`` after declared name ``index``."""
        return seen | 1 << index if self.any_order else index

    def none_missing(self, plan: ObjectPlan, seen: int) -> bool:
        """Have all required names stood?"""
        if self.any_order:
            return all(seen >> index & 1 for index, required in enumerate(plan.required) if required)
        return plan.last_required <= seen

    def options(self, plan: ObjectPlan, formula: Formula | None, selected: int, met: int) -> list[tuple[int, Formula]]:
        """Ways in which one value can meet obligations: (obligations met, formula of the value), possible ones only.

        What the value meets in any case is met: no way leaves it out.
        """
        if formula is None or not self.possible(formula):
            return []
        out = [(0, formula)]
        for bit, (_, wanted) in enumerate(plan.obligations):
            if not selected >> bit & 1 or met >> bit & 1 or wanted is None:
                continue
            for at, (meets, stronger) in enumerate(tuple(out)):
                both = self._formulas.both(stronger, wanted)
                if both == stronger:
                    out[at] = (meets | 1 << bit, stronger)
                elif self.possible(both):
                    out.append((meets | 1 << bit, both))
        return out

    def extra_options(self, plan: ObjectPlan, names: NameClass, met: int) -> list[tuple[int, Formula]]:
        """As ``options``, for an undeclared property."""
        out = self.options(plan, names.formula, names.selected, met)
        if names.size is not None and any(meets for meets, _ in out):
            raise UnsupportedSchemaError(
                "negated additionalProperties or patternProperties",
                pointer="",
                advice="A property of finitely many names would have to satisfy it, and those may be used up: declare "
                "the names.",
            )
        return out

    def selected(self, plan: ObjectPlan, name: str) -> int:
        """The obligations that a name can help to meet."""
        return sum(self._selects(selector, name) << bit for bit, (selector, _) in enumerate(plan.obligations))

    def can_finish(self, plan: ObjectPlan, state: State) -> bool:
        """Can the object be completed from here?"""
        return plan.simple or self._can_finish(plan, state)

    def _can_finish(self, plan: ObjectPlan, state: State) -> bool:
        seen, count, met = state
        least, most = self._range(plan, seen, met)
        highest = count + most if plan.maximum is None else min(count + most, plan.maximum)
        return least <= most and max(count + least, plan.minimum) <= highest

    def _range(self, plan: ObjectPlan, seen: int, met: int) -> tuple[int, int]:
        """Least and greatest number of further properties with which everything asked for is met.

        Every number between them can be reached too: adding an optional property never spoils what is met.
        """
        known = self._ranges.get((plan, seen, met))
        if known is not None:
            return known
        extras = self.extras(plan)
        count = 0
        reached = {met: 0}  # sets of met obligations, and the fewest properties that meet them
        rest = range(seen + 1, len(plan.names)) if not self.any_order else self.following(plan, seen)
        for index in rest:
            ways = self.options(plan, plan.members[index], self.selected(plan, plan.names[index]), 0)
            count += bool(ways)
            following = {} if plan.required[index] else dict(reached)
            for before, number in reached.items():
                for meets, _ in ways:
                    after = before | meets
                    following[after] = min(number + 1, following.get(after, _NEVER))
            reached = following
        rest_of = self._least_extras(plan, extras, reached)
        least = min((number + rest_of[before] for before, number in reached.items()), default=_NEVER)
        most = count if least < _NEVER else -1
        if extras and most >= 0:
            most = min(_NEVER, most + self._size(plan, extras))
        if not self._deciding():
            self._ranges[plan, seen, met] = least, most
        return least, most

    def _size(self, plan: ObjectPlan, extras: Sequence[NameClass]) -> int:
        """How many undeclared properties there may be."""
        size = 0
        for names in extras:
            if names.size is None:
                return _NEVER
            size += names.size
        if size < plan.minimum <= size + len(plan.names):
            raise UnsupportedSchemaError(
                f"minProperties {plan.minimum}",
                pointer="",
                advice="Hardly more names match patternProperties or propertyNames: require some names.",
            )
        return size

    def _least_extras(self, plan: ObjectPlan, extras: Sequence[NameClass], starts: Iterable[int]) -> dict[int, int]:
        """Per set of met obligations: how many undeclared properties meet the others."""
        everything = (1 << len(plan.obligations)) - 1
        ways: set[int] = set()
        for names in extras:
            if plan.maximum is None and names.size is None:
                # As many properties as one likes: one for each obligation, and no need to see which go together.
                ways.update(1 << bit for bit in range(len(plan.obligations)) if self._can_meet(plan, names, bit))
            else:
                ways.update(meets for meets, _ in self.extra_options(plan, names, 0) if meets)
        out: dict[int, int] = {}
        for start in starts:
            number, frontier = 0, {start}
            while frontier and everything not in frontier:
                number += 1
                frontier = {before | meets for before in frontier for meets in ways if meets & ~before}
            out[start] = number if frontier else _NEVER
        return out

    def _can_meet(self, plan: ObjectPlan, names: NameClass, bit: int) -> bool:
        """Can an undeclared property meet an obligation?"""
        wanted = plan.obligations[bit][1]
        return (
            bool(names.selected >> bit & 1)
            and wanted is not None
            and self.possible(self._formulas.both(names.formula, wanted))
        )

    def _matches(self, pattern: str, name: str) -> bool:
        return self._lexical.pattern_automaton(pattern).accepts(name)

    def _selects(self, selector: tuple[str, object], name: str) -> bool:
        kind, detail = selector
        if kind == "outside":
            names, patterns = cast("tuple[tuple[str, ...], tuple[str, ...]]", detail)
            return name not in names and not any(self._matches(pattern, name) for pattern in patterns)
        if kind == "matching":
            return self._matches(str(detail), name)
        return self._satisfies(detail, name)  # type: ignore[arg-type]
