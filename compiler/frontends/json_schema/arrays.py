"""Arrays: from a plan to productions.

The rest of an array behind some of its items is one nonterminal, TAIL(plan, index, counts, used):

    index    number of items so far, as far as it matters (prefixItems, minItems, maxItems)
    counts   per obligation (``contains``, "some item has ¬S"): how many items have met it, as far as that matters
    used     with uniqueItems: the items so far, where they come from few values

Where there are more values the rules allow repetitions, and the opening bracket is a terminal of its own, so that the
text is guarded (``compiler/json_items.py``). A guard takes items away, so there must be enough of them (``sizes.py``).

Where none of them matters any more the items form a left-recursive list, so that the parser's stack is the same after
each of them. A production is offered only if the array can still be finished behind it.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

from grammar_engine.compiler.errors import LimitExceededError, UnsupportedSchemaError
from grammar_engine.compiler.frontends.json_schema.conjunction import Formula, Formulas
from grammar_engine.compiler.frontends.json_schema.conjuncts import Conjunct
from grammar_engine.compiler.frontends.json_schema.dialects import Dialect
from grammar_engine.compiler.frontends.json_schema.json_types import FALSE, NULL, TRUE, identity
from grammar_engine.compiler.frontends.json_schema.literals import MAX_ESCAPED_CHARACTERS
from grammar_engine.compiler.frontends.json_schema.names import spelling_of
from grammar_engine.compiler.frontends.json_schema.plans import ArrayPlan
from grammar_engine.compiler.frontends.json_schema.sizes import ENDLESS, Sizes
from grammar_engine.compiler.frontends.json_schema.symbols import Symbols
from grammar_engine.compiler.ir import Production, Symbol

MAX_DISTINCT_VALUES = 1000
"""Values up to which the rules remember the items of an array with uniqueItems; with more it is guarded."""
MAX_DISTINCT_STATES = 10_000
"""Sets of used items that are tried to see whether an array of distinct items can be finished."""

_NEVER = 1 << 60
Counts = tuple[int, ...]
State = tuple[int, Counts, frozenset[object]]


class Arrays:
    """Plans of arrays, and whether they can be finished."""

    def __init__(
        self,
        formulas: Formulas,
        dialect: Dialect,
        possible: Callable[[Formula | None], bool],
        satisfies: Callable[[Formula | None, object], bool],
        held: Callable[[Conjunct], list[object]],
        deciding: Callable[[], bool],
        sizes: Sizes,
        place: Callable[[set[int]], str],
    ) -> None:
        """possible, satisfies, held, deciding: of ``Productivity``; deciding: is some answer still a guess?

        place: the pointer of ``uniqueItems`` in one of the schemas, which are given by identity.
        """
        self._formulas = formulas
        self._dialect = dialect
        self._sizes = sizes
        self._place = place
        self.possible = possible
        self._satisfies = satisfies
        self._held = held
        self._deciding = deciding
        self._plans: dict[Conjunct, ArrayPlan] = {}
        self._values: dict[Formula, list[tuple[object, object]]] = {}
        self._needs: dict[tuple[ArrayPlan, int, Counts], int] = {}

    def plan(self, conjunct: Conjunct) -> ArrayPlan:
        """The plan of the arrays of a conjunct."""
        plan = self._plans.get(conjunct)
        if plan is None:
            plan = self._plans[conjunct] = ArrayPlan(conjunct, self._formulas, self._dialect)
            if plan.unique and not self._has_few_items(plan):
                plan.guard()
        return plan

    def _has_few_items(self, plan: ArrayPlan) -> bool:
        count = 0
        for formula in plan.formulas():
            for conjunct in self._formulas.normal(formula):
                if conjunct.values is None and conjunct.types & ~(NULL | TRUE | FALSE):
                    return False
                count += 3 if conjunct.values is None else len(conjunct.values)
        return count <= MAX_DISTINCT_VALUES

    def are_inexhaustible(self, plan: ArrayPlan) -> bool:
        """Are the items strings of which there are some left whatever has stood, behind any beginning?"""
        return all(map(self._sizes.are_inexhaustible_strings, plan.formulas()))

    def are_endless(self, plan: ArrayPlan) -> bool:
        """Are there endlessly many values for every item, and does nothing else ask for some of them?"""
        return not plan.obligations and all(self._sizes.of(formula)[0] >= ENDLESS for formula in plan.formulas())

    def _has_room(self, plan: ArrayPlan, conjunct: Conjunct) -> bool:
        """With distinct items that are guarded: are there enough of them? UnsupportedSchemaError where that is open."""
        if plan.minimum:
            for index in range(min(plan.minimum, len(plan.prefix))):
                self._require(plan, conjunct, plan.prefix[index], index + 1)
            if plan.minimum > len(plan.prefix) and not self._require(plan, conjunct, plan.rest, plan.minimum):
                return False
        for _, formula, opposite, least, most in plan.obligations:
            if formula is None or plan.rest is None:
                continue
            if least and not self._require(plan, conjunct, self._formulas.both(plan.rest, formula), least):
                return False
            if most is not None and opposite is not None:
                self._require(plan, conjunct, self._formulas.both(plan.rest, opposite), plan.minimum)
        return True

    def _require(self, plan: ArrayPlan, conjunct: Conjunct, formula: Formula | None, count: int) -> bool:
        """Has the formula so many values? False is certain."""
        if formula is None or count <= 1:
            return True  # (``_need`` sees to the first)
        least, most = self._sizes.of(formula)
        if least >= count:
            return True
        if most < count and not plan.prefix:
            return False
        raise UnsupportedSchemaError(
            "uniqueItems",
            pointer=self._place(conjunct.schemas),
            advice=f"It is not known whether there are {count} different items: lower minItems or minContains.",
        )

    def is_possible(self, conjunct: Conjunct) -> bool:
        """Does any array satisfy the conjunct?"""
        if not conjunct.min_items and not conjunct.some_items:
            return True
        plan = self.plan(conjunct)
        if plan.maximum is not None and plan.maximum < plan.minimum:
            return False
        if plan.guarded and not self._has_room(plan, conjunct):
            return False
        if plan.simple:
            count = min(plan.minimum, len(plan.prefix))
            return all(map(self.possible, plan.prefix[:count])) and (count == plan.minimum or self.possible(plan.rest))
        return self.can_finish(plan, self.start(plan))

    def holds(self, conjunct: Conjunct, value: list[object]) -> bool:
        """Does an array satisfy the conjunct?"""
        plan = self.plan(conjunct)
        if len(value) < plan.minimum or (plan.maximum is not None and len(value) > plan.maximum):
            return False
        if (plan.unique or plan.guarded) and len({identity(item) for item in value}) < len(value):
            return False
        if not all(self._satisfies(plan.item(index), item) for index, item in enumerate(value)):
            return False
        for start, formula, _, least, most in plan.obligations:
            count = sum(self._satisfies(formula, item) for item in value[start:])
            if count < least or (most is not None and count > most):
                return False
        return True

    # -- states -------------------------------------------------------------------------------------------------------

    def start(self, plan: ArrayPlan) -> State:
        """Nothing has stood yet."""
        return 0, (0,) * len(plan.obligations), frozenset()

    def next_index(self, plan: ArrayPlan, index: int) -> int:
        """The index after one more item; it stops where it no longer matters."""
        if plan.maximum is not None:
            return index + 1
        return min(index + 1, self._last_index(plan))

    def _last_index(self, plan: ArrayPlan) -> int:
        starts: list[int] = [start for start, *_ in plan.obligations]
        return max(len(plan.prefix), plan.minimum, *starts, 0)

    def may_close(self, plan: ArrayPlan, state: State) -> bool:
        """Is everything met that must be?"""
        index, counts, _ = state
        return index >= plan.minimum and all(
            count >= least for count, (_, _, _, least, _) in zip(counts, plan.obligations, strict=True)
        )

    def options(self, plan: ArrayPlan, index: int, counts: Counts) -> list[tuple[Formula, Counts]]:
        """What the item at ``index`` may be, and the counts behind it; possible ones only."""
        item = plan.item(index)
        if item is None or not self.possible(item) or (plan.maximum is not None and index >= plan.maximum):
            return []
        choices: list[list[tuple[Formula | None, int]]] = []
        for count, (start, formula, opposite, least, most) in zip(counts, plan.obligations, strict=True):
            if index < start or (most is None and count >= least):
                choices.append([(item, count)])
            elif most is None:
                choices.append([(item, count), (formula, count + 1)])
            else:
                counted: list[tuple[Formula | None, int]] = [(opposite, count)]
                choices.append([*counted, (formula, count + 1)] if count < most else counted)
        out: dict[tuple[Formula, Counts], None] = {}
        for choice in product(*choices):
            whole = item
            for formula, _ in choice:
                if formula is None:
                    break
                whole = self._formulas.both(whole, formula)
            else:
                if self.possible(whole):
                    out[whole, tuple(count for _, count in choice)] = None
        return list(out)

    def values(self, plan: ArrayPlan, state: State) -> list[tuple[object, State]]:
        """With uniqueItems: the values that may stand next, and the state behind each."""
        if not plan.obligations and self.next_index(plan, state[0]) >= plan.minimum:
            return self._unused(plan, state)  # the array may end behind each
        return [
            (value, following) for value, following in self._unused(plan, state) if self.can_finish(plan, following)
        ]

    def _unused(self, plan: ArrayPlan, state: State) -> list[tuple[object, State]]:
        """With uniqueItems: the values that have not stood and are allowed next, and the state behind each."""
        index, counts, used = state
        item = plan.item(index)
        if item is None or (plan.maximum is not None and index >= plan.maximum):
            return []
        left = {name: value for name, value in self._finite(item) if name not in used}
        behind = self.next_index(plan, index)
        if not plan.obligations:
            return [(value, (behind, counts, used | {name})) for name, value in left.items()]
        out: list[tuple[object, State]] = []
        for name, value in left.items():
            after = self._counts_with(plan, index, counts, value)
            if after is not None:
                out.append((value, (behind, after, used | {name})))
        return out

    def have_one_spelling(self, plan: ArrayPlan) -> bool:
        """Are the items' strings so long together that, as in any ``enum``, only their plain spelling is offered?"""
        texts = (value for formula in plan.formulas() for _, value in self._finite(formula) if isinstance(value, str))
        return sum(map(len, texts)) > MAX_ESCAPED_CHARACTERS

    def _counts_with(self, plan: ArrayPlan, index: int, counts: Counts, value: object) -> Counts | None:
        """The counts behind a value at ``index``; None if it is one too many."""
        out: list[int] = []
        for count, (start, formula, _, least, most) in zip(counts, plan.obligations, strict=True):
            if index >= start and (most is not None or count < least) and self._satisfies(formula, value):
                count += 1
                if most is not None and count > most:
                    return None
            out.append(count)
        return tuple(out)

    def can_finish(self, plan: ArrayPlan, state: State) -> bool:
        """Can the array be completed from here?"""
        if plan.simple:
            return True
        index, counts, _ = state
        if plan.unique:
            return self._can_finish_distinct(plan, state)
        need = self._need(plan, index, counts)
        return need < _NEVER and (plan.maximum is None or index + need <= plan.maximum)

    def _can_finish_distinct(self, plan: ArrayPlan, state: State) -> bool:
        """With uniqueItems: depth first over the values that may follow; the first way is nearly always open."""
        todo, seen = [state], {state}
        while todo:
            here = todo.pop()
            if self.may_close(plan, here):
                return True
            for _, following in self._unused(plan, here):
                if following not in seen:
                    if len(seen) == MAX_DISTINCT_STATES:
                        raise LimitExceededError(
                            "uniqueItems beside what else is asked of the items has too many ways",
                            limit=f"{MAX_DISTINCT_STATES} sets of items",
                            given="more",
                        )
                    seen.add(following)
                    todo.append(following)
        return False

    def _need(self, plan: ArrayPlan, index: int, counts: Counts) -> int:
        """The least number of further items with which everything is met: breadth first."""
        known = self._needs.get((plan, index, counts))
        if known is not None:
            return known
        need, frontier, seen = 0, [(index, counts)], {(index, counts)}
        while frontier and not any(self.may_close(plan, (i, c, frozenset())) for i, c in frontier):
            leap = self._leap(plan, *frontier[0]) if len(frontier) == 1 else None
            if leap is not None:
                steps, state = leap
                need += steps
                frontier = [state]
                continue
            need += 1
            following = []
            for i, c in frontier:
                for _, after in self.options(plan, i, c):
                    state = self.next_index(plan, i), after
                    if state not in seen:
                        seen.add(state)
                        following.append(state)
            frontier = following
        if not frontier:
            need = _NEVER
        if not self._deciding():
            self._needs[plan, index, counts] = need
        return need

    def _leap(self, plan: ArrayPlan, index: int, counts: Counts) -> tuple[int, tuple[int, Counts]] | None:
        """As many equal items as bring the first obligation to its end, if one item can meet all of them.

        Items that met fewer would not make it shorter, unless they may be too many of several kinds.
        """
        least = [obligation[3] for obligation in plan.obligations]
        unmet = [at for at, count in enumerate(counts) if count < least[at]]
        bounded = len(counts) > 1 and any(most is not None for *_, most in plan.obligations)
        if bounded or not unmet or index < max(len(plan.prefix), *(start for start, *_ in plan.obligations)):
            return None
        steps = min(least[at] - counts[at] for at in unmet)
        for count, (*_, most) in zip(counts, plan.obligations, strict=True):
            steps = steps if most is None else min(steps, most - count)
        if plan.maximum is not None:
            steps = min(steps, plan.maximum - index)
        aim = tuple(count + (at in unmet) for at, count in enumerate(counts))
        if steps < 2 or not any(after == aim for _, after in self.options(plan, index, counts)):
            return None
        after = tuple(count + steps * (at in unmet) for at, count in enumerate(counts))
        behind = index + steps if plan.maximum is not None else min(index + steps, self._last_index(plan))
        return steps, (behind, after)

    def _finite(self, formula: Formula) -> list[tuple[object, object]]:
        """The values of a formula that has finitely many, each behind its identity."""
        known = self._values.get(formula)
        if known is not None:
            return known
        out: list[tuple[object, object]] = []
        for conjunct in self._formulas.normal(formula):
            if conjunct.values is not None:
                values = self._held(conjunct)
            else:
                constants = ((NULL, None), (TRUE, True), (FALSE, False))
                given = [value for bit, value in constants if conjunct.types & bit]
                values = [value for value in given if self._satisfies(formula, value)]
            out += [(identity(value), value) for value in values]
        if not self._deciding():
            self._values[formula] = out
        return out


class ArrayWriter:
    """Writes the productions of one plan."""

    def __init__(
        self,
        arrays: Arrays,
        plan: ArrayPlan,
        symbols: Symbols,
        value: Callable[[Formula, int], Symbol],
        spelled: Callable[[object, int], list[Production]],
    ) -> None:
        """value: nonterminal of a formula at a depth; spelled: productions of a given value at a depth."""
        self._arrays = arrays
        self._plan = plan
        self._symbols = symbols
        self._value = value
        self._spelled = spelled

    def whole(self, depth: int) -> list[Production]:
        """All arrays of the plan, from bracket to bracket; ``depth`` counts the containers around their items."""
        state = self._arrays.start(self._plan)
        opener = self._symbols.mark("[", depth)
        if self._plan.guarded:
            opener = self._symbols.terminal("distinct", "[", depth)
            guarding = self._symbols.guarding
            guarding.distinct.add(opener)
            guarding.narrow = guarding.narrow or not self._arrays.are_inexhaustible(self._plan)
            guarding.scarce = guarding.scarce or not self._arrays.are_endless(self._plan)
        out = self._next(state, depth, opener)
        if self._arrays.may_close(self._plan, state):
            out.append((self._symbols.mark("[]", depth),))
        return out

    def tail(self, state: State, depth: int) -> list[Production]:
        """The rest of an array behind what ``state`` says; the rule of TAIL."""
        out = self._next(state, depth, self._symbols.mark(",", depth))
        if self._arrays.may_close(self._plan, state):
            out.append((self._symbols.mark("]", depth),))
        return out

    def _next(self, state: State, depth: int, opener: Symbol) -> list[Production]:
        arrays, plan, symbols = self._arrays, self._plan, self._symbols
        index, counts, _ = state
        out: list[Production] = []
        if plan.unique:
            plain = arrays.have_one_spelling(plan)
            for value, following in arrays.values(plan, state):
                rest = symbols.nonterminal(self.tail, following, depth)
                if plain and isinstance(value, str):
                    out.append((opener, symbols.terminal("text", spelling_of(value)), rest))
                else:
                    out += [(opener, *spelling, rest) for spelling in self._spelled(value, depth)]
            return out
        if self._is_settled(index + 1, counts) and index >= len(plan.prefix) and arrays.possible(plan.rest):
            items = symbols.nonterminal(self._items, depth)
            symbols.soon(items)
            return [(opener, items, symbols.mark("]", depth))]
        for formula, after in arrays.options(plan, index, counts):
            following = (arrays.next_index(plan, index), after, frozenset())
            if arrays.can_finish(plan, following):
                rest = symbols.nonterminal(self.tail, following, depth)
                out.append((opener, self._value(formula, depth), rest))
        return out

    def _is_settled(self, index: int, counts: Counts) -> bool:
        """Does nothing matter any more behind ``index`` items?"""
        plan = self._plan
        return (
            plan.maximum is None
            and index >= plan.minimum
            and all(
                most is None and count >= least
                for count, (_, _, _, least, most) in zip(counts, plan.obligations, strict=True)
            )
        )

    def _items(self, depth: int) -> list[Production]:
        assert self._plan.rest is not None
        item = self._value(self._plan.rest, depth)
        return [(item,), (self._symbols.nonterminal(self._items, depth), self._symbols.mark(",", depth), item)]
