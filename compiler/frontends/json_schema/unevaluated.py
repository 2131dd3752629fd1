"""``unevaluatedProperties`` and ``unevaluatedItems``, said with keywords that look no further than their own schema.

What such a keyword U speaks of depends on the subschemas that are applied in place and hold (JSON Schema 2020-12 core,
§11): each of them evaluates the names that it declares, names that match its patterns, or everything; items up to an
index, or those that match ``contains``. Subschemas under allOf and ``$ref`` hold anyway. The others are *conditions*:
branches of anyOf and oneOf, ``if`` and what hangs on it, ``dependentSchemas``.

    U holds = some case: the conditions of a set X hold, and all that neither the schema itself nor X evaluates has U

X is any set that can hold together, not the exact one: where more holds than X says, the case only asks for more. So no
condition is negated, and sets of which another one, less strict, evaluates as much are left out.

    U fails = some property (or item) has ¬U, and whichever condition would evaluate it fails

which is one case per name that only conditions declare, and one for the others (per set of conditional patterns).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from itertools import chain, combinations
from typing import Any, NamedTuple

from grammar_engine.compiler.errors import LimitExceededError
from grammar_engine.compiler.frontends.json_schema.choices import Choices
from grammar_engine.compiler.frontends.json_schema.dialects import Dialect
from grammar_engine.compiler.frontends.json_schema.internal import Internal
from grammar_engine.compiler.frontends.json_schema.negation import negated
from grammar_engine.compiler.frontends.json_schema.references import Schema

MAX_CASES = 4096
"""Cases of one unevaluatedProperties or unevaluatedItems."""

MAX_CONDITIONAL = 10
"""Patterns (or ``contains``) that only some subschemas have, where the keyword is negated: each set is a case."""

_SPEAKS_OF = {"unevaluatedProperties": "object", "unevaluatedItems": "array"}
KEYWORDS = tuple(_SPEAKS_OF)
_OBJECT, _ARRAY = 128, 64


class Evaluated(NamedTuple):
    """What is evaluated. names, patterns: of properties. prefix: so many items; contains: of items, by identity."""

    everything: bool = False
    prefix: int = 0
    names: Mapping[str, None] = {}
    patterns: Mapping[str, None] = {}
    contains: Mapping[int, Schema] = {}

    def plus(self, other: Evaluated) -> Evaluated:
        """What one or the other evaluates."""
        if self.everything or other.everything:
            return _EVERYTHING
        return Evaluated(
            prefix=max(self.prefix, other.prefix),
            names={**self.names, **other.names},
            patterns={**self.patterns, **other.patterns},
            contains={**self.contains, **other.contains},
        )

    def within(self, other: Evaluated) -> bool:
        """Is all of it evaluated by the other, too?"""
        if self.everything or other.everything:
            return other.everything
        return (
            self.prefix <= other.prefix
            and self.names.keys() <= other.names.keys()
            and self.patterns.keys() <= other.patterns.keys()
            and self.contains.keys() <= other.contains.keys()
        )

    def key(self) -> Hashable:
        """Equal for what evaluates the same."""
        return self.everything, self.prefix, frozenset(self.names), frozenset(self.patterns), frozenset(self.contains)


_NOTHING = Evaluated()
_EVERYTHING = Evaluated(everything=True)


class Option(NamedTuple):
    """A condition: the schema to take it by (as ``choices.py`` made it), the plain one, and what it evaluates."""

    taken: Schema
    plain: Schema
    facts: Facts


class Facts(NamedTuple):
    """What a schema evaluates where it holds: surely; and by choices (exclusive: one option holds at a time)."""

    surely: Evaluated
    choices: tuple[tuple[bool, tuple[Option, ...]], ...] = ()

    def most(self) -> Evaluated:
        """All that it can evaluate."""
        out = self.surely
        for _, options in self.choices:
            for option in options:
                out = out.plus(option.facts.most())
        return out


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
        self._dialect = dialect
        self._targets = targets
        self._choices = choices
        self._exclude = exclude
        self._matches = matches
        self._facts: dict[tuple[int, str], Facts] = {}
        self._cases: dict[tuple[int, str], list[Schema]] = {}

    def cases(self, schema: dict[Any, Any], keyword: str) -> list[Schema]:
        """Schemas of which some holds if and only if the keyword does, given that the rest of the schema holds."""
        found = self._cases.get((id(schema), keyword))
        if found is None:
            found = self._cases[id(schema), keyword] = list(self._make_cases(schema, keyword))
        return found

    def failures(self, schema: dict[Any, Any], keyword: str) -> list[Schema]:
        """Schemas of which some holds if and only if the keyword fails, given that the rest of the schema holds."""
        value = schema[keyword]
        facts = self._around(schema, keyword)
        if value is True or facts.surely.everything:
            return []
        conditions = list(_conditions(facts, ()))
        if keyword == "unevaluatedProperties":
            return list(self._property_failures(value, facts.surely, conditions))
        return list(_item_failures(value, facts.surely, conditions))

    # -- what evaluates ---------------------------------------------------------------------------------------------

    def _around(self, schema: dict[Any, Any], keyword: str) -> Facts:
        """What a schema evaluates beside the keyword itself."""
        known = self._facts.get((id(schema), keyword))
        if known is None:
            known = self._facts[id(schema), keyword] = self._collect(schema, keyword)
        return known

    def _of(self, schema: Schema, keyword: str) -> Facts:
        if not isinstance(schema, dict):
            return Facts(_NOTHING)
        return Facts(_EVERYTHING) if keyword in schema else self._around(schema, keyword)

    def _collect(self, schema: dict[Any, Any], keyword: str) -> Facts:
        properties = keyword == "unevaluatedProperties"
        surely = _own_properties(schema) if properties else _own_items(schema, self._dialect)
        members: list[Schema] = list(schema.get("allOf", ()))
        if "$ref" in schema:
            members.append(self._targets[id(schema)])
        choices: list[tuple[bool, tuple[Option, ...]]] = []
        for member in members:
            facts = self._of(member, keyword)
            surely = surely.plus(facts.surely)
            choices += facts.choices
        for exclusive, options in self._options(schema, keyword):
            first = options[0].facts
            if any(option.facts.choices or option.facts.surely.key() != first.surely.key() for option in options):
                choices.append((exclusive, options))
            else:
                surely = surely.plus(first.surely)
        if surely.everything:
            return Facts(surely)
        return Facts(surely, tuple(choices))

    def _options(self, schema: dict[Any, Any], keyword: str) -> Iterator[tuple[bool, tuple[Option, ...]]]:
        """The choices of a schema. Some option of each holds."""
        nothing = Facts(_NOTHING)
        if "if" in schema:
            condition = self._of(schema["if"], keyword)
            if "then" not in schema and "else" not in schema:
                yield True, (Option(schema["if"], schema["if"], condition), Option(True, True, nothing))
        for kind, subject, branches in self._choices.of(schema) if self._choosing(schema) else ():
            if kind in ("anyOf", "oneOf"):
                yield (
                    kind == "oneOf",
                    tuple(
                        Option(taken, plain, self._of(plain, keyword))
                        for taken, plain in zip(branches, schema[kind], strict=True)
                    ),
                )
            elif kind == "if":
                then = _both(condition, self._of(schema.get("then", True), keyword))
                otherwise = self._of(schema.get("else", True), keyword)
                yield (
                    True,
                    (
                        Option(branches[0], schema["if"], then),
                        Option(branches[1], negated(schema["if"]), otherwise),
                    ),
                )
            elif kind == "dependentSchemas":
                asked = self._of(schema[kind][subject], keyword)
                yield (
                    True,
                    (Option(branches[0], branches[0], nothing), Option(branches[1], {"required": [subject]}, asked)),
                )

    def _choosing(self, schema: dict[Any, Any]) -> bool:
        return not self._choices.keywords.isdisjoint(schema)

    # -- where it holds -----------------------------------------------------------------------------------------------

    def _make_cases(self, schema: dict[Any, Any], keyword: str) -> Iterator[Schema]:
        value = schema[keyword]
        if value is True:
            yield True
            return
        layer = _property_layer if keyword == "unevaluatedProperties" else _item_layer
        for case in self._ways(self._around(schema, keyword), _Case((), _NOTHING), keyword):
            if case.evaluated.everything:
                rest: Schema = True
            else:
                rest = layer(case.evaluated, value)
            yield {"allOf": [*case.conditions, rest]} if case.conditions else rest

    def _ways(self, facts: Facts, start: _Case, keyword: str) -> list[_Case]:
        """``start`` and a schema that holds: sets of conditions, and what is evaluated then."""
        ways = [_Case(start.conditions, start.evaluated.plus(facts.surely))]
        for exclusive, options in facts.choices:
            further: list[_Case] = []
            for way in ways:
                further += self._one(options, way, keyword) if exclusive else self._several(options, way, keyword)
                if len(further) > MAX_CASES:
                    raise LimitExceededError(f"cases of {keyword}", limit=str(MAX_CASES), given="more")
            ways = _without_stricter(further)
        return ways

    def _one(self, options: Sequence[Option], way: _Case, keyword: str) -> list[_Case]:
        """One option is taken; those that evaluate nothing more need not be told apart."""
        out: list[_Case] = []
        idle = False
        for option in options:
            if option.facts.most().within(way.evaluated):
                idle = True
            else:
                out += self._ways(option.facts, _Case((*way.conditions, option.taken), way.evaluated), keyword)
        return [way, *out] if idle else out

    def _several(self, options: Sequence[Option], way: _Case, keyword: str) -> list[_Case]:
        """Any set of options that do not exclude each other; not the empty one if each evaluates something more."""
        ways: list[tuple[_Case, tuple[Schema, ...]]] = [(way, ())]
        for option in options:
            # The keyword says nothing of other types, so branches that share only those are as good as exclusive.
            compared: Schema = {"type": _SPEAKS_OF[keyword], "allOf": [option.plain]}
            for case, taken in list(ways):
                if option.facts.most().within(case.evaluated):
                    continue
                if any(self._exclude(compared, other) for other in taken):
                    continue
                begun = _Case((*case.conditions, option.taken), case.evaluated)
                ways += ((more, (*taken, compared)) for more in self._ways(option.facts, begun, keyword))
                if len(ways) > MAX_CASES:
                    raise LimitExceededError(f"cases of {keyword}", limit=str(MAX_CASES), given="more")
        if not any(option.facts.most().within(way.evaluated) for option in options):
            del ways[0]
        return [case for case, _ in ways]

    # -- where it fails -----------------------------------------------------------------------------------------------

    def _property_failures(self, value: Schema, surely: Evaluated, conditions: list[_Case]) -> Iterator[Schema]:
        names = {name: None for case in conditions for name in case.evaluated.names if name not in surely.names}
        for name in names:
            if any(self._matches(pattern, name) for pattern in surely.patterns):
                continue
            failing = [
                _fails(conditions_)
                for conditions_, evaluated in conditions
                if evaluated.everything
                or name in evaluated.names
                or any(self._matches(pattern, name) for pattern in evaluated.patterns)
            ]
            yield {
                Internal.TYPES: _OBJECT,
                "required": [name],
                "properties": {name: negated(value)},
                "allOf": failing,
            }
        patterns = {p: None for case in conditions for p in case.evaluated.patterns if p not in surely.patterns}
        for missed in _subsets(list(patterns), "patterns"):
            failing = [
                _fails(conditions_)
                for conditions_, evaluated in conditions
                if evaluated.everything or any(p in patterns and p not in missed for p in evaluated.patterns)
            ]
            outside = (*surely.names, *names), (*surely.patterns, *missed)
            yield {
                Internal.TYPES: _OBJECT,
                Internal.SOME_PROPERTY: (("outside", outside), negated(value)),
                "allOf": failing,
            }


def _item_failures(value: Schema, surely: Evaluated, conditions: list[_Case]) -> Iterator[Schema]:
    contains = {
        name: schema
        for case in conditions
        for name, schema in case.evaluated.contains.items()
        if name not in surely.contains
    }
    starts = sorted({surely.prefix, *(case.evaluated.prefix for case in conditions)})
    for start in starts[starts.index(surely.prefix) :]:
        for missed in _subsets(list(contains), "contains"):
            failing = [
                _fails(conditions_)
                for conditions_, evaluated in conditions
                if evaluated.everything
                or evaluated.prefix > start
                or any(name in contains and name not in missed for name in evaluated.contains)
            ]
            not_ = [value, *surely.contains.values(), *(contains[name] for name in missed)]
            item: Schema = {"allOf": [negated(schema) for schema in not_]}
            yield {Internal.TYPES: _ARRAY, Internal.SOME_ITEM: (start, item, 1, None), "allOf": failing}


def _fails(conditions: Sequence[Schema]) -> Schema:
    """Not all of the conditions hold."""
    if len(conditions) == 1:
        return negated(conditions[0])
    return {"anyOf": [negated(condition) for condition in conditions]}


def _conditions(facts: Facts, outer: tuple[Schema, ...]) -> Iterator[_Case]:
    """Every condition, with those that it stands under, and what it evaluates."""
    for _, options in facts.choices:
        for option in options:
            conditions = (*outer, option.plain)
            if not option.facts.surely.within(_NOTHING):
                yield _Case(conditions, option.facts.surely)
            yield from _conditions(option.facts, conditions)


def _subsets(members: list[Any], what: str) -> Iterator[tuple[Any, ...]]:
    if len(members) > MAX_CONDITIONAL:
        raise LimitExceededError(
            f"{what} that only some subschemas evaluate, beside a negated unevaluated*",
            limit=str(MAX_CONDITIONAL),
            given=len(members),
        )
    return chain.from_iterable(combinations(members, size) for size in range(len(members) + 1))


def _both(left: Facts, right: Facts) -> Facts:
    surely = left.surely.plus(right.surely)
    return Facts(surely) if surely.everything else Facts(surely, (*left.choices, *right.choices))


def _without_stricter(cases: list[_Case]) -> list[_Case]:
    """Of cases that evaluate the same, those that ask for no more than another one does."""
    groups: dict[Hashable, list[tuple[set[int], _Case]]] = {}
    for case in sorted(cases, key=lambda case: len(case.conditions)):
        asked = set(map(id, case.conditions))
        group = groups.setdefault(case.evaluated.key(), [])
        if not any(other <= asked for other, _ in group):
            group.append((asked, case))
    kept = {id(case) for group in groups.values() for _, case in group}
    return [case for case in cases if id(case) in kept]


def _own_properties(schema: dict[Any, Any]) -> Evaluated:
    if "additionalProperties" in schema:
        return _EVERYTHING
    return Evaluated(
        names=dict.fromkeys(schema.get("properties", ())), patterns=dict.fromkeys(schema.get("patternProperties", ()))
    )


def _own_items(schema: dict[Any, Any], dialect: Dialect) -> Evaluated:
    items = schema.get("items")
    if dialect.items_array:
        if isinstance(items, list):
            return _EVERYTHING if "additionalItems" in schema else Evaluated(prefix=len(items))
        return _NOTHING if items is None else _EVERYTHING
    if items is not None:
        return _EVERYTHING
    contains = schema.get("contains")
    return Evaluated(
        prefix=len(schema.get("prefixItems", ())), contains={} if contains is None else {id(contains): contains}
    )


def _property_layer(evaluated: Evaluated, value: Schema) -> Schema:
    return {
        "properties": dict.fromkeys(evaluated.names, True),
        "patternProperties": dict.fromkeys(evaluated.patterns, True),
        "additionalProperties": value,
    }


def _item_layer(evaluated: Evaluated, value: Schema) -> Schema:
    rest = value
    if evaluated.contains:
        rest = {"anyOf": [*evaluated.contains.values(), *([] if value is False else [value])]}
    return {Internal.PREFIX_AND_REST: ([True] * evaluated.prefix, rest)}
