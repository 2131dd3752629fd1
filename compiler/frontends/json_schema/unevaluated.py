"""``unevaluatedProperties`` and ``unevaluatedItems``, said with keywords that look no further than their own schema.

What such a keyword U speaks of depends on which subschemas hold beside it (``evaluated.py``). Those that may or may not
hold are *conditions*.

    U holds = some case: the conditions of a set X hold, and all that neither the schema itself nor X evaluates has U

X is any set that can hold together, not the exact one: where more holds than X says, the case only asks for more. So no
condition is negated, and sets of which another one, less strict, evaluates as much are left out.

    U fails = some property (or item) has ¬U, and whichever condition would evaluate it fails

which is one case per name that only conditions declare, and one for the others (per set of conditional patterns).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain, combinations
from typing import Any, NamedTuple

from grammar_engine.compiler.errors import LimitExceededError
from grammar_engine.compiler.frontends.json_schema.choices import Choices
from grammar_engine.compiler.frontends.json_schema.dialects import Dialect
from grammar_engine.compiler.frontends.json_schema.evaluated import NOTHING, Evaluated, Evaluation, Facts, Option
from grammar_engine.compiler.frontends.json_schema.internal import Internal
from grammar_engine.compiler.frontends.json_schema.json_types import ARRAY, OBJECT
from grammar_engine.compiler.frontends.json_schema.negation import negated
from grammar_engine.compiler.frontends.json_schema.references import Schema

MAX_CASES = 4096
"""Cases of one unevaluatedProperties or unevaluatedItems."""

MAX_CASE_PARTS = 200_000
"""Names and patterns that the cases of one such keyword list, all together."""

MAX_COMPARISONS = 50_000
"""Pairs of branches that are compared, to see whether they exclude each other, for one such keyword."""

MAX_CONDITIONAL = 10
"""Patterns (or ``contains``) that only some subschemas have, where the keyword is negated: each set is a case."""

_SPEAKS_OF = {"unevaluatedProperties": "object", "unevaluatedItems": "array"}
KEYWORDS = tuple(_SPEAKS_OF)


class _Case(NamedTuple):
    conditions: tuple[Schema, ...]
    evaluated: Evaluated


class Unevaluated:
    """Rewrites these keywords for the schemas of one document, each once."""

    def __init__(
        self,
        dialect: Dialect,
        targets: Mapping[int, Schema],
        choices: Choices,
        exclude: Callable[[Schema, Schema], bool],
        matches: Callable[[str, str], bool],
    ) -> None:
        """targets, exclude: as in ``Formulas``; matches: does a pattern match a name?"""
        self._evaluation = Evaluation(dialect, targets, choices)
        self._exclude = exclude
        self._matches = matches
        self._cases: dict[tuple[int, str], list[Schema]] = {}
        self.made: set[int] = set()  # identities of cases

    def cases(self, schema: dict[Any, Any], keyword: str) -> list[Schema]:
        """Schemas of which some holds if and only if the keyword does, given that the rest of the schema holds."""
        found = self._cases.get((id(schema), keyword))
        if found is None:
            found = self._cases[id(schema), keyword] = self._make_cases(schema, keyword)
            self.made.update(map(id, found))
        return found

    def failures(self, schema: dict[Any, Any], keyword: str) -> list[Schema]:
        """Schemas of which some holds if and only if the keyword fails, given that the rest of the schema holds."""
        value = schema[keyword]
        facts = self._evaluation.around(schema, keyword)
        if value is True or facts.surely.everything:
            return []
        conditions: list[_Case] = []
        for condition in _conditions(facts, ()):
            conditions.append(condition)
            _check(len(conditions), MAX_CASES, f"conditions of {keyword}")
        if keyword == "unevaluatedProperties":
            return list(self._property_failures(value, facts.surely, conditions))
        return list(self._item_failures(value, facts.surely, conditions))

    # -- where it holds -----------------------------------------------------------------------------------------------

    def _make_cases(self, schema: dict[Any, Any], keyword: str) -> list[Schema]:
        value = schema[keyword]
        if value is True:
            return [True]
        cases = _Search(self._exclude, keyword).ways(self._evaluation.around(schema, keyword), _Case((), NOTHING))
        size = sum(case.evaluated.parts.bit_count() for case in cases)
        _check(size, MAX_CASE_PARTS, f"names in the cases of {keyword}")
        out: list[Schema] = []
        for conditions, evaluated in cases:
            rest: Schema = True
            if not evaluated.everything:
                layer = self._property_layer if keyword == "unevaluatedProperties" else self._item_layer
                rest = layer(evaluated, value)
            out.append({"allOf": [*conditions, rest]} if conditions else rest)
        return out

    def _property_layer(self, evaluated: Evaluated, value: Schema) -> Schema:
        parts = self._evaluation.parts
        return {
            "properties": dict.fromkeys(parts.of("name", evaluated.parts), True),
            "patternProperties": dict.fromkeys(parts.of("pattern", evaluated.parts), True),
            "additionalProperties": value,
        }

    def _item_layer(self, evaluated: Evaluated, value: Schema) -> Schema:
        contains = self._evaluation.parts.of("contains", evaluated.parts)
        rest: Schema = {"anyOf": [*contains, *([] if value is False else [value])]} if contains else value
        return {Internal.PREFIX_AND_REST: ([True] * evaluated.prefix, rest)}

    # -- where it fails -----------------------------------------------------------------------------------------------

    def _property_failures(self, value: Schema, surely: Evaluated, conditions: list[_Case]) -> Iterator[Schema]:
        parts = self._evaluation.parts
        maybe = 0
        for case in conditions:
            maybe |= case.evaluated.parts & ~surely.parts
        names, patterns = parts.of("name", maybe), parts.of("pattern", maybe)
        sure_names, sure_patterns = parts.of("name", surely.parts), parts.of("pattern", surely.parts)
        read = [
            (case, set(parts.of("name", case.evaluated.parts)), parts.of("pattern", case.evaluated.parts))
            for case in conditions
        ]
        for name in names:
            if any(self._matches(pattern, name) for pattern in sure_patterns):
                continue
            failing = [
                _fails(case)
                for case, its_names, its_patterns in read
                if case.evaluated.everything
                or name in its_names
                or any(self._matches(pattern, name) for pattern in its_patterns)
            ]
            own = {"required": [name], "properties": {name: negated(value)}}
            yield {Internal.TYPES: OBJECT, **own, "allOf": failing}
        for missed in _subsets(patterns, "patterns"):
            hit = set(patterns).difference(missed)
            failing = [
                _fails(case)
                for case, _, its_patterns in read
                if case.evaluated.everything or not hit.isdisjoint(its_patterns)
            ]
            outside = (*sure_names, *names), (*sure_patterns, *missed)
            some = {Internal.SOME_PROPERTY: (("outside", outside), negated(value))}
            yield {Internal.TYPES: OBJECT, **some, "allOf": failing}

    def _item_failures(self, value: Schema, surely: Evaluated, conditions: list[_Case]) -> Iterator[Schema]:
        parts = self._evaluation.parts
        maybe = 0
        for case in conditions:
            maybe |= case.evaluated.parts & ~surely.parts
        bits = [1 << bit for bit in range(maybe.bit_length()) if maybe >> bit & 1]
        starts = {surely.prefix, *(case.evaluated.prefix for case in conditions)}
        for start in sorted(start for start in starts if start >= surely.prefix):
            for missed in _subsets(bits, "contains"):
                failing = [
                    _fails(case)
                    for case in conditions
                    if case.evaluated.everything
                    or case.evaluated.prefix > start
                    or case.evaluated.parts & maybe & ~sum(missed)
                ]
                not_ = [value, *parts.of("contains", surely.parts | sum(missed))]
                item: Schema = {"allOf": [negated(schema) for schema in not_]}
                yield {Internal.TYPES: ARRAY, Internal.SOME_ITEM: (start, item, 1, None), "allOf": failing}


class _Search:
    """Finds the cases of one keyword."""

    def __init__(self, exclude: Callable[[Schema, Schema], bool], keyword: str) -> None:
        self._exclude = exclude
        self._keyword = keyword
        self._comparisons = 0

    def ways(self, facts: Facts, start: _Case) -> list[_Case]:
        """``start`` and a schema that holds: sets of conditions, and what is evaluated then."""
        ways = [_Case(start.conditions, start.evaluated.plus(facts.surely))]
        for exclusive, options in facts.choices:
            further: list[_Case] = []
            for way in ways:
                further += self._one(options, way) if exclusive else self._several(options, way)
                self._limit(further)
            ways = _without_stricter(further)
        return ways

    def _one(self, options: Sequence[Option], way: _Case) -> list[_Case]:
        """One option is taken; several that evaluate nothing more need not be told apart."""
        out: list[_Case] = []
        idle = [option.taken for option in options if option.facts.most.within(way.evaluated)]
        if idle:
            condition = () if len(idle) > 1 or idle[0] is True else idle
            out.append(_Case((*way.conditions, *condition), way.evaluated))
        for option in options:
            if not option.facts.most.within(way.evaluated):
                out += self.ways(option.facts, _Case((*way.conditions, option.taken), way.evaluated))
                self._limit(out)
        return out

    def _several(self, options: Sequence[Option], way: _Case) -> list[_Case]:
        """Any set of options that do not exclude each other; not the empty one if each evaluates something more."""
        ways: list[tuple[_Case, tuple[Schema, ...]]] = [(way, ())]
        idle = False
        for option in options:
            idle = idle or option.facts.most.within(way.evaluated)
            # The keyword says nothing of other types, so branches that share only those are as good as exclusive.
            compared: Schema = {"type": _SPEAKS_OF[self._keyword], "allOf": [option.plain]}
            for case, taken in list(ways):
                if option.facts.most.within(case.evaluated) or self._excluded(compared, taken):
                    continue
                begun = _Case((*case.conditions, option.taken), case.evaluated)
                ways += ((more, (*taken, compared)) for more in self.ways(option.facts, begun))
                self._limit(ways)
        return [case for case, _ in (ways if idle else ways[1:])]

    def _excluded(self, schema: Schema, taken: Sequence[Schema]) -> bool:
        self._comparisons += len(taken)
        _check(self._comparisons, MAX_COMPARISONS, f"comparisons of branches for {self._keyword}")
        return any(self._exclude(schema, other) for other in taken)

    def _limit(self, cases: Sequence[object]) -> None:
        _check(len(cases), MAX_CASES, f"cases of {self._keyword}")


def _check(given: int, limit: int, what: str) -> None:
    if given > limit:
        raise LimitExceededError(what, limit=str(limit), given="more")


def _without_stricter(cases: list[_Case]) -> list[_Case]:
    """Of cases that evaluate the same, those that ask for no more than another one does."""
    groups: dict[Evaluated, list[set[int]]] = {}
    kept: set[int] = set()
    for case in sorted(cases, key=lambda case: len(case.conditions)):
        asked = set(map(id, case.conditions))
        group = groups.setdefault(case.evaluated, [])
        if not any(other <= asked for other in group):
            group.append(asked)
            kept.add(id(case))
    return [case for case in cases if id(case) in kept]


def _conditions(facts: Facts, outer: tuple[Schema, ...]) -> Iterator[_Case]:
    """Every condition, with those that it stands under, and what it evaluates."""
    for choice in facts.choices:
        for option in choice.options:
            conditions = (*outer, option.plain)
            if not option.facts.surely.within(NOTHING):
                yield _Case(conditions, option.facts.surely)
            yield from _conditions(option.facts, conditions)


def _fails(case: _Case) -> Schema:
    """Not all of the conditions hold."""
    if len(case.conditions) == 1:
        return negated(case.conditions[0])
    return {"anyOf": [negated(condition) for condition in case.conditions]}


def _subsets(members: list[Any], what: str) -> Iterator[tuple[Any, ...]]:
    if len(members) > MAX_CONDITIONAL:
        raise LimitExceededError(
            f"{what} that only some subschemas evaluate, beside a negated unevaluated*",
            limit=str(MAX_CONDITIONAL),
            given=len(members),
        )
    return chain.from_iterable(combinations(members, size) for size in range(len(members) + 1))
