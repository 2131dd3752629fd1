"""Choices as clauses over single properties: fewer and shorter ones, before they are multiplied out.

Of an object, many branches say one thing about one property. Such a branch is a **literal**:

    if (p, S)     p is absent, or its value satisfies S        properties {p: S}
    has (p, S)    p is present, and its value satisfies S      required [p], properties {p: S}

(negations of ``properties`` and ``required`` are literals, and so are the two sides of a simple dependency). A choice
is then a clause, and the choices of a conjunct are a formula in conjunctive normal form, for which the usual rules
hold:

    merging        if (p, S) ∨ if (p, T) = if (p, S ∨ T): one literal per property is left, so a choice about one
                   property becomes part of that property's schema and is no choice any more
    weakening      has (p, S) = has (p, anything) where every value that may stand there satisfies S
    resolution     "some property outside of {…}" in a closed object = has (q) for one of the others that it declares
    subsumption    a clause that another one implies is dropped
    enumeration    when the branches of a clause are tried in turn, a branch tried before is dropped from the clauses
                   behind the later ones: what satisfies it has been counted

Without the last two, ten branches of a ``oneOf`` that may overlap would be 3⁹ alternatives each.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

from grammar_engine.compiler.frontends.json_schema.branches import Branches, is_barred
from grammar_engine.compiler.frontends.json_schema.internal import Internal
from grammar_engine.compiler.frontends.json_schema.json_types import OBJECT
from grammar_engine.compiler.frontends.json_schema.references import Schema
from grammar_engine.compiler.frontends.json_schema.schema_keys import Keys
from grammar_engine.compiler.limits import Deadline

if TYPE_CHECKING:
    from grammar_engine.compiler.frontends.json_schema.conjuncts import Conjunct

_MAX_RESOLVED = 64
"""Names of a closed object for which "some property outside of {…}" is taken apart."""
_MAX_COMPARED = 200
"""Clauses that are compared with each other."""
_LITERAL_KEYWORDS = frozenset(("type", "required", "properties", Internal.TYPES))


class Literal(NamedTuple):
    """What a branch says of one property; ``present``: it must stand. key: equal for equal schemas."""

    name: str
    present: bool
    key: object
    schema: Schema

    def implies(self, other: Literal) -> bool:
        """Does the other hold wherever this one does? (If certain.)"""
        if self.name != other.name or (other.present and not self.present):
            return False
        return other.schema is True or self.key == other.key


class Branch(NamedTuple):
    """A branch of a clause, and the literal that it is, if it is one."""

    schema: Schema
    literal: Literal | None

    def implies(self, other: Branch) -> bool:
        """Does the other hold wherever this one does? (If certain.)"""
        if self.literal is not None and other.literal is not None:
            return self.literal.implies(other.literal)
        return self.schema is other.schema

    def label(self) -> object:
        """The same for branches of which one implies the other."""
        return id(self.schema) if self.literal is None else self.literal.name


Clause = list[Branch]


class Tried:
    """Branches that were tried before: what they imply has been counted."""

    def __init__(self) -> None:
        self._schemas: set[int] = set()
        self._literals: dict[str, list[Literal]] = {}

    def add(self, branch: Branch) -> None:
        """One more."""
        self._schemas.add(id(branch.schema))
        if branch.literal is not None:
            self._literals.setdefault(branch.literal.name, []).append(branch.literal)

    def implied_by(self, branch: Branch) -> bool:
        """Does one of them hold wherever the branch does? (If certain.)"""
        if id(branch.schema) in self._schemas:
            return True
        literal = branch.literal
        return literal is not None and any(map(literal.implies, self._literals.get(literal.name, ())))

    def behind(self, clauses: list[Clause]) -> list[Clause] | None:
        """The clauses without branches that imply one of these; None if a clause is left without branches."""
        out: list[Clause] = []
        for clause in clauses:
            left = [branch for branch in clause if not self.implied_by(branch)]
            if not left:
                return None
            out.append(left)
        return out


class Clauses:
    """Reduces the choices of the conjuncts of one document."""

    def __init__(
        self,
        branches: Branches,
        targets: Mapping[int, Schema],
        says: frozenset[Any],
        deciding: Collection[int],
        deadline: Deadline,
    ) -> None:
        """says: the keywords that constrain a value; others are annotations.

        deciding: identities of branches that take branches of other choices with them (``unevaluated.py``).
        """
        self._deciding = deciding
        self._branches = branches
        self._says = says
        self._deadline = deadline
        self._keys = Keys(targets)
        self._made: dict[object, dict[Any, Any]] = {}

    def reduce(self, conjunct: Conjunct, choices: list[list[Schema]]) -> list[Clause]:
        """Clauses that say the same of what satisfies the conjunct, without those that hold.

        Single ones come first, then those that decide others, then the rest by length.
        """
        clauses: list[Clause] = []
        for choice in choices:
            self._deadline.tick()
            if conjunct.types != OBJECT:
                clauses.append([Branch(branch, None) for branch in choice])
                continue
            clause = self._clause(conjunct, choice)
            if clause is not None:
                clauses.append(clause)
        clauses.sort(key=len)
        if len(clauses) <= _MAX_COMPARED:
            clauses = _without_implied(clauses)
        if self._deciding:  # what they decide need not be multiplied
            clauses.sort(key=lambda clause: len(clause) > 1 and id(clause[0].schema) not in self._deciding)
        return clauses

    def _clause(self, conjunct: Conjunct, choice: list[Schema]) -> Clause | None:
        """None if it holds anyway."""
        opaque: Clause = []
        literals: dict[str, list[Branch]] = {}
        for schema in choice:
            found = self._literals(conjunct, schema)
            if found is None:
                opaque.append(Branch(schema, None))
                continue
            for literal in found:
                if not literal.present and literal.schema is True:
                    return None
                if not literal.present or literal.schema is not False:
                    literals.setdefault(literal.name, []).append(Branch(schema, literal))
        return [self._merged(several) for several in literals.values()] + opaque

    def _literals(self, conjunct: Conjunct, schema: Schema) -> list[Literal] | None:
        """The literals of which one must hold; None if the schema says something else."""
        if not isinstance(schema, dict):
            return None
        if Internal.SOME_PROPERTY in schema:
            return self._resolved(conjunct, schema)
        keywords = self._says.intersection(schema)
        if not _LITERAL_KEYWORDS.issuperset(keywords) or schema.get("type", "object") != "object":
            return None
        required, properties = schema.get("required", ()), schema.get("properties", {})
        names = {*required, *properties}
        if len(names) != 1:
            return None
        (name,) = names
        return [self._literal(conjunct, name, properties.get(name, True), present=bool(required))]

    def _resolved(self, conjunct: Conjunct, schema: dict[Any, Any]) -> list[Literal] | None:
        (kind, detail), member = schema[Internal.SOME_PROPERTY]
        if kind != "outside" or detail[1] or len(schema) > 2:
            return None
        allowed: dict[str, None] | None = None
        for layer in conjunct.object_layers:
            if layer.get("additionalProperties") is False and not layer.get("patternProperties"):
                declared = layer.get("properties", {})
                allowed = dict.fromkeys(declared if allowed is None else (name for name in allowed if name in declared))
        if allowed is None or len(allowed) > _MAX_RESOLVED:
            return None
        return [self._literal(conjunct, name, member, present=True) for name in allowed if name not in detail[0]]

    def _literal(self, conjunct: Conjunct, name: str, schema: Schema, *, present: bool) -> Literal:
        if is_barred(conjunct, name):
            schema = not present
        else:
            holds = self._branches.member(conjunct, name, schema)
            if holds is not None:
                schema = holds
            elif schema == {"not": False} or (isinstance(schema, dict) and self._says.isdisjoint(schema)):
                schema = True
        return Literal(name, present and name not in conjunct.required, self._keys.of(schema), schema)

    def _merged(self, branches: list[Branch]) -> Branch:
        """The disjunction of literals about one property; a branch that says just that is kept as it is."""
        literals = [branch.literal for branch in branches if branch.literal is not None]
        name = literals[0].name
        present = all(literal.present for literal in literals)
        parts = {literal.key: literal.schema for literal in literals if literal.schema is not False}
        if any(schema is True for schema in parts.values()):
            parts = {True: True}
        if len(parts) <= 1:
            key, schema = next(iter(parts.items()), (False, False))
        else:
            key = ("anyOf", frozenset(parts))
            schema = self._made.setdefault(key, {"anyOf": list(parts.values())})
        literal = Literal(name, present, key, schema)
        whole = branches[0].schema
        if len(branches) > 1 or not isinstance(whole, dict) or whole.get("properties", {}).get(name) is not schema:
            whole = self._schema(literal)
        return Branch(whole, literal)

    def _schema(self, literal: Literal) -> dict[Any, Any]:
        """A schema that says it, the same for equal literals."""
        key = literal.name, literal.present, literal.key
        found = self._made.get(key)
        if found is None:
            found = self._made[key] = {Internal.TYPES: OBJECT, "properties": {literal.name: literal.schema}}
            if literal.present:
                found["required"] = [literal.name]
        return found


def _without_implied(clauses: list[Clause]) -> list[Clause]:
    """Clauses sorted by length, less those that a shorter one implies."""
    if clauses and not clauses[0]:
        return clauses[:1]
    kept: list[Clause] = []
    beginning: dict[object, list[Clause]] = {}  # kept ones by what their first branch speaks of
    for clause in clauses:
        labels = dict.fromkeys(branch.label() for branch in clause)
        candidates = chain.from_iterable(beginning.get(label, ()) for label in labels)
        if not any(all(any(part.implies(branch) for branch in clause) for part in shorter) for shorter in candidates):
            kept.append(clause)
            beginning.setdefault(clause[0].label(), []).append(clause)
    return kept


def iterate(clause: Clause, rest: list[Clause]) -> Iterator[tuple[Schema, list[list[Schema]]]]:
    """The branches of a clause in turn, each with the choices that are left behind it."""
    tried = Tried()
    for branch in clause:
        left = tried.behind(rest)
        if left is not None:
            yield branch.schema, [[other.schema for other in others] for others in left]
        tried.add(branch)
