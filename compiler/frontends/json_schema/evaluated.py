"""What a schema evaluates where it holds: property names, patterns, items (JSON Schema 2020-12 core, §10.3 and §11).

Subschemas under allOf and ``$ref`` hold with the schema, so what they evaluate is evaluated *surely*. Others are
options of a choice, of which at least one holds: branches of anyOf and oneOf, ``if`` with what hangs on it,
``dependentSchemas``. Each option has facts of its own, which say what it adds. What stands under ``not`` evaluates
nothing.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from grammar_engine.compiler.frontends.json_schema.choices import Choices
from grammar_engine.compiler.frontends.json_schema.dialects import Dialect
from grammar_engine.compiler.frontends.json_schema.negation import negated
from grammar_engine.compiler.frontends.json_schema.references import Schema


class Evaluated(NamedTuple):
    """What is evaluated. prefix: so many items. parts: names, patterns and ``contains``, as bits (``Parts``)."""

    everything: bool = False
    prefix: int = 0
    parts: int = 0

    def plus(self, other: Evaluated) -> Evaluated:
        """What one or the other evaluates."""
        if self.everything or other.everything:
            return EVERYTHING
        return Evaluated(False, max(self.prefix, other.prefix), self.parts | other.parts)

    def within(self, other: Evaluated) -> bool:
        """Is all of it evaluated by the other, too?"""
        if self.everything or other.everything:
            return other.everything
        return self.prefix <= other.prefix and not self.parts & ~other.parts


NOTHING = Evaluated()
EVERYTHING = Evaluated(everything=True)


class Parts:
    """Names, patterns and ``contains`` of one document, each with a bit of its own."""

    def __init__(self) -> None:
        self._bits: dict[tuple[str, Hashable], int] = {}
        self._parts: list[tuple[str, Any]] = []

    def bits(self, kind: str, parts: Iterable[tuple[Hashable, Any]]) -> int:
        """The bits of some parts, given as (key, part)."""
        bits = 0
        for key, part in parts:
            bit = self._bits.get((kind, key))
            if bit is None:
                bit = self._bits[kind, key] = len(self._parts)
                self._parts.append((kind, part))
            bits |= 1 << bit
        return bits

    def of(self, kind: str, bits: int) -> list[Any]:
        """The parts of one kind among some bits, in the order in which they were met."""
        out: list[Any] = []
        while bits:
            low = bits & -bits
            found, part = self._parts[low.bit_length() - 1]
            if found == kind:
                out.append(part)
            bits ^= low
        return out


class Facts(NamedTuple):
    """What a schema evaluates where it holds: surely; by its choices; and at the most."""

    surely: Evaluated
    choices: tuple[OptionList, ...] = ()
    most: Evaluated = NOTHING


class Option(NamedTuple):
    """One way of a choice: the schema to take it by (as ``choices.py`` made it), the plain one, and what it adds."""

    taken: Schema
    plain: Schema
    facts: Facts


class OptionList(NamedTuple):
    """A choice. exclusive: at most one of the options is to be taken."""

    exclusive: bool
    options: tuple[Option, ...]


_NO_FACTS = Facts(NOTHING)


class Evaluation:
    """The facts of the schemas of one document, each collected once."""

    def __init__(self, dialect: Dialect, targets: Mapping[int, Schema], choices: Choices) -> None:
        """targets: what each ``$ref`` names."""
        self._dialect = dialect
        self._targets = targets
        self._choices = choices
        self._facts: dict[tuple[int, str], Facts] = {}
        self.parts = Parts()

    def around(self, schema: dict[Any, Any], keyword: str) -> Facts:
        """What a schema evaluates, seen from its own ``keyword`` (unevaluatedProperties or unevaluatedItems)."""
        known = self._facts.get((id(schema), keyword))
        if known is None:
            known = self._facts[id(schema), keyword] = self._collect(schema, keyword)
        return known

    def _of(self, schema: Schema, keyword: str) -> Facts:
        """What a schema evaluates, seen from outside: with the keyword, everything."""
        if not isinstance(schema, dict):
            return _NO_FACTS
        return Facts(EVERYTHING, (), EVERYTHING) if keyword in schema else self.around(schema, keyword)

    def _collect(self, schema: dict[Any, Any], keyword: str) -> Facts:
        surely = self._own_properties(schema) if keyword == "unevaluatedProperties" else self._own_items(schema)
        members: list[Schema] = list(schema.get("allOf", ()))
        if "$ref" in schema:
            members.append(self._targets[id(schema)])
        choices: list[OptionList] = []
        for member in members:
            facts = self._of(member, keyword)
            surely = surely.plus(facts.surely)
            choices += facts.choices
        for choice in self._own_choices(schema, keyword):
            first = choice.options[0].facts.surely
            if any(option.facts.choices or option.facts.surely != first for option in choice.options):
                choices.append(choice)
            else:
                surely = surely.plus(first)
        return _facts(surely, choices)

    def _own_choices(self, schema: dict[Any, Any], keyword: str) -> Iterator[OptionList]:
        """The choices of a schema's own keywords. Some option of each holds where the schema does."""
        if self._choices.keywords.isdisjoint(schema):
            return
        condition = self._of(schema["if"], keyword) if "if" in schema else _NO_FACTS
        if "if" in schema and "then" not in schema and "else" not in schema:
            yield OptionList(True, (Option(schema["if"], schema["if"], condition), Option(True, True, _NO_FACTS)))
        for kind, subject, branches in self._choices.of(schema):
            if kind in ("anyOf", "oneOf"):
                plain = schema[kind]
                facts = [self._of(branch, keyword) for branch in plain]
            elif kind == "if":
                then = self._of(schema.get("then", True), keyword)
                both = _facts(condition.surely.plus(then.surely), [*condition.choices, *then.choices])
                plain = [schema["if"], negated(schema["if"])]
                facts = [both, self._of(schema.get("else", True), keyword)]
            elif kind == "dependentSchemas" and keyword == "unevaluatedProperties":  # an array has no property
                plain = [branches[0], {"required": [subject]}]
                facts = [_NO_FACTS, self._of(schema[kind][subject], keyword)]
            else:
                continue
            yield OptionList(kind != "anyOf", tuple(map(Option, branches, plain, facts)))

    def _own_properties(self, schema: dict[Any, Any]) -> Evaluated:
        if "additionalProperties" in schema:
            return EVERYTHING
        names = self.parts.bits("name", ((name, name) for name in schema.get("properties", ())))
        patterns = self.parts.bits("pattern", ((pattern, pattern) for pattern in schema.get("patternProperties", ())))
        return Evaluated(parts=names | patterns)

    def _own_items(self, schema: dict[Any, Any]) -> Evaluated:
        items = schema.get("items")
        if self._dialect.items_array:
            if isinstance(items, list):
                return EVERYTHING if "additionalItems" in schema else Evaluated(prefix=len(items))
            return NOTHING if items is None else EVERYTHING
        if items is not None:
            return EVERYTHING
        contains = schema.get("contains")  # evaluates the items that match it since 2020-12
        parts = 0 if contains is None else self.parts.bits("contains", [(id(contains), contains)])
        return Evaluated(prefix=len(schema.get("prefixItems", ())), parts=parts)


def _facts(surely: Evaluated, choices: Iterable[OptionList]) -> Facts:
    if surely.everything:
        return Facts(EVERYTHING, (), EVERYTHING)
    different = tuple({id(choice): choice for choice in choices}.values())  # a schema may be referred to twice
    most = surely
    for choice in different:
        for option in choice.options:
            most = most.plus(option.facts.most)
    return Facts(surely, different, most)
