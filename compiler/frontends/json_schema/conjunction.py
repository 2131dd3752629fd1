"""Formulas and their normal form: what a value must satisfy, as a disjunction of records sorted by JSON type.

A **formula** is a conjunction of subschemas of the document, interned: the same set of subschemas is the same integer,
however it was reached. Its normal form is a tuple of ``Conjunct``: each holds every constraint that applies to a value,
sorted by the type it speaks of, so that ``properties`` beside ``type: string`` says nothing, as the standard has it.

    normal form of a set of schemas:
        add every keyword of every schema to one conjunct; $ref, allOf and ``not`` (taken one level apart by
        ``negation.py``) add their schemas to the set
        each choice left over (``choices.py``, ``unevaluated.py``) multiplies: one copy of the conjunct per branch

    Branches may overlap: the parser carries both. Before a choice multiplies, branches that the conjunct decides are
    absorbed (``branches.py``), and choices about properties are simplified (``clauses.py``); several choices between
    strings become one formula instead (``text_choices.py``); given values are tried one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from functools import lru_cache
from typing import Any

from grammar_engine.compiler.errors import LimitExceededError
from grammar_engine.compiler.frontends.json_schema.branches import Branches, Exclude
from grammar_engine.compiler.frontends.json_schema.choices import Choices, choosing_keywords
from grammar_engine.compiler.frontends.json_schema.clauses import Clause, Clauses, iterate
from grammar_engine.compiler.frontends.json_schema.conjuncts import INTERNAL_ADDS, KEYWORD_ADDS, Add, Conjunct, is_given
from grammar_engine.compiler.frontends.json_schema.dialects import Dialect
from grammar_engine.compiler.frontends.json_schema.json_types import OBJECT, STRING, type_bit
from grammar_engine.compiler.frontends.json_schema.negation import Negation, contains_bounds
from grammar_engine.compiler.frontends.json_schema.object_formulas import ObjectFormulas
from grammar_engine.compiler.frontends.json_schema.references import Schema
from grammar_engine.compiler.frontends.json_schema.text_choices import TextFormulas
from grammar_engine.compiler.frontends.json_schema.unevaluated import KEYWORDS, Unevaluated
from grammar_engine.compiler.limits import Deadline

Formula = int
ANYTHING: Formula = 0

FEW_DISJUNCTS = 16
"""Conjuncts up to which choices are multiplied out in any case, and one for each branch that is written down. More
of them are kept as choices, where they speak of objects (``object_formulas.py``)."""
FEW_TICKS = 2000
"""The same, of schemas looked at on the way; twenty for each branch."""
MAX_DISJUNCTS = 4096
MAX_STEPS = 4 * MAX_DISJUNCTS
"""Conjuncts looked at on the way, those that turn out impossible included."""

_TYPE_ALONE = frozenset(("type",))
_TRUE, _FALSE = -1, -2  # handles of schemas that ask nothing, and that nothing satisfies


@lru_cache(maxsize=16)
def _tables(dialect: Dialect) -> tuple[Mapping[Any, Add], tuple[str, ...], frozenset[str], frozenset[Any]]:
    """Of a dialect's keywords: what adds to a conjunct, unevaluated*, what makes choices, and all of them."""
    adding: dict[Any, Add] = {keyword: add for keyword, add in KEYWORD_ADDS.items() if keyword in dialect.keywords}
    adding.update(INTERNAL_ADDS)
    looking_around = tuple(keyword for keyword in KEYWORDS if keyword in dialect.keywords)
    choosing = choosing_keywords(dialect).union(looking_around)
    return adding, looking_around, choosing, frozenset(adding) | {"$ref", "allOf", "not", "contains"} | choosing


class _Patience(Enum):
    """How far choices are multiplied out: a few; unless that could change the order of properties; or in no case."""

    SHORT = 0
    LONG = 1
    ENDLESS = 2


class Formulas:
    """The interned conjunctions of subschemas of one document, and their normal forms."""

    def __init__(
        self,
        dialect: Dialect,
        targets: Mapping[int, Schema],
        overlaps: Mapping[int, Sequence[Sequence[int]]],
        exclude: Exclude,
        matches: Callable[[str, str], bool],
        deadline: Deadline,
    ) -> None:
        """targets: schema that each ``$ref`` names; overlaps: per ``oneOf``, the branches that each branch may meet.

        exclude: of ``Disjoint``; matches: does a pattern match a name?
        """
        self._dialect = dialect
        self._targets = targets
        self._deadline = deadline
        self._overlaps = overlaps
        choices = Choices(dialect, overlaps)
        self._choices_of = choices.of
        self.unevaluated = Unevaluated(dialect, targets, choices, exclude, matches)
        self._negation = Negation(dialect, targets, self.unevaluated.failures)
        self._texts = TextFormulas(dialect, targets, overlaps)
        self._made: dict[int, list[list[Schema]]] = {}  # choices made of a schema, kept so that identities last
        self._handles: dict[object, int] = {}
        self._schemas: list[dict[Any, Any]] = []
        self._kept: list[dict[Any, Any]] = []  # an identity stays a schema's own as long as the schema lives
        self._formulas: dict[tuple[int, ...], Formula] = {(): ANYTHING}
        self._members: list[tuple[int, ...]] = [()]
        self._normal: dict[Formula, tuple[Conjunct, ...]] = {}
        self._keywords, self._looking_around, self._choosing, self._says_something = _tables(dialect)
        self._contains = "contains" in dialect.keywords
        self._branches = Branches(dialect, targets, self._negation, exclude, self._says_something, deadline)
        self.objects = ObjectFormulas(dialect, targets, choices, self._negation, self.unevaluated, exclude, deadline)
        self._clauses = Clauses(self._branches, targets, self._says_something, self.unevaluated.made, deadline)

    def of(self, schemas: Iterable[Schema]) -> Formula | None:
        """The formula of a conjunction; None if a member is plainly false."""
        handles: list[int] = []
        for schema in schemas:
            if schema is True or schema == {"not": False}:
                continue
            if schema is False:
                return None
            handle = self._handle(schema)
            if handle == _FALSE:
                return None
            if handle >= 0 and handle not in handles:
                handles.append(handle)
        if len(handles) > 1:
            handles.sort()
        return self._intern(tuple(handles))

    def both(self, left: Formula, right: Formula) -> Formula:
        """The conjunction of two formulas."""
        return self._intern(tuple(sorted({*self._members[left], *self._members[right]})))

    def _intern(self, key: tuple[int, ...]) -> Formula:
        formula = self._formulas.get(key)
        if formula is None:
            formula = self._formulas[key] = len(self._members)
            self._members.append(key)
        return formula

    def _handle(self, schema: dict[Any, Any]) -> int:
        """A number for a schema, the same for two that say the same of one type and nothing else, and for a schema and
        those that do nothing but refer to it; _TRUE: it says nothing; _FALSE: nothing satisfies it.
        """
        handle = self._handles.get(id(schema))
        if handle is not None:
            return handle
        whole: Schema = schema
        keywords = self._says_something.intersection(schema)
        while "$ref" in keywords and (len(keywords) == 1 or self._dialect.ref_overrides):
            whole = self._targets[id(whole)]
            keywords = self._says_something.intersection(whole) if isinstance(whole, dict) else frozenset()
        if isinstance(whole, bool):
            handle = _TRUE if whole else _FALSE
        elif not keywords:
            handle = _TRUE
        elif whole is not schema:
            handle = self._handle(whole)
        else:
            name = schema["type"] if keywords == _TYPE_ALONE and isinstance(schema["type"], str) else id(schema)
            handle = self._handles.setdefault(name, len(self._schemas))
            if handle == len(self._schemas):
                self._schemas.append(schema)
        self._handles[id(schema)] = handle
        self._kept.append(schema)
        return handle

    def schemas(self, formula: Formula) -> list[dict[Any, Any]]:
        """The members of a formula."""
        return [self._schemas[handle] for handle in self._members[formula]]

    def target(self, schema: dict[Any, Any]) -> Schema:
        """What the ``$ref`` of a schema names."""
        return self._targets[id(schema)]

    def normal(self, formula: Formula) -> tuple[Conjunct, ...]:
        """The normal form. Constraints are collected, not yet weighed: a conjunct may still be unsatisfiable."""
        found = self._normal.get(formula)
        if found is None:
            for patience in _Patience:
                out = self._multiplied(list(self.schemas(formula)[::-1]), patience)
                if out is not None:
                    break
            assert out is not None
            found = self._normal[formula] = tuple(out)
        return found

    def _multiplied(self, schemas: list[Schema], patience: _Patience) -> list[Conjunct] | None:
        """The conjuncts of a conjunction, choices multiplied out depth first (a stack: there may be thousands).

        None: they are more than ``patience`` has room for.
        """
        out: list[Conjunct] = []
        stack = [(Conjunct(), schemas)]
        steps = 0
        few, work = FEW_DISJUNCTS, self._deadline.ticks + FEW_TICKS
        while stack:
            self._deadline.tick()
            conjunct, todo = stack.pop()
            if not self._collect(conjunct, todo):
                continue
            steps += 1
            if patience == _Patience.SHORT and (steps > few or self._deadline.ticks > work):
                return None
            if len(out) >= MAX_DISJUNCTS or steps > MAX_STEPS:
                if patience == _Patience.LONG:
                    return None
                raise LimitExceededError(
                    "alternatives of one value, multiplied out", limit=str(MAX_DISJUNCTS), given="more"
                )
            if not conjunct.choices or is_given(conjunct):
                out.append(conjunct)
                continue
            if steps == 1:
                branches = sum(map(len, conjunct.choices))
                few, work = few + branches, work + 20 * branches
            clauses = self._open(conjunct)
            if not clauses:
                conjunct.choices = ()
                out.append(conjunct)
            elif len(clauses[0]) == 1:
                single = [clause[0].schema for clause in clauses if len(clause) == 1]
                conjunct.choices = tuple([branch.schema for branch in clause] for clause in clauses[len(single) :])
                stack.append((conjunct, single[::-1]))
            elif patience != _Patience.SHORT and conjunct.types & OBJECT and conjunct.values is None:
                conjunct.choices = tuple([branch.schema for branch in clause] for clause in clauses)
                if conjunct.types != OBJECT:
                    others = conjunct.copy()
                    others.types &= ~OBJECT
                    conjunct.types = OBJECT
                    stack += [(others, []), (conjunct, [])]
                elif patience == _Patience.ENDLESS or self.objects.names(conjunct)[1]:
                    out.append(conjunct)
                else:
                    stack += self._branched(conjunct, clauses)
            else:
                stack += self._branched(conjunct, clauses)
        return out

    def _branched(self, conjunct: Conjunct, clauses: list[Clause]) -> list[tuple[Conjunct, list[Schema]]]:
        """A conjunct for each branch of the first clause, the first on top."""
        following: list[tuple[Conjunct, list[Schema]]] = []
        for schema, left in iterate(clauses[0], clauses[1:]):
            copy = conjunct.copy()
            copy.choices = tuple(left)
            following.append((copy, [schema]))
        return following[::-1]

    def _open(self, conjunct: Conjunct) -> list[Clause]:
        """What is left of a conjunct's choices, as clauses that multiply, the shortest first."""
        found = (self._branches.open(conjunct, choice) for choice in conjunct.choices)
        choices = [branches for branches in found if branches is not None]
        if len(choices) > 1 and conjunct.types == STRING:
            formula = self._texts.choices(choices)
            if formula is not None:
                conjunct.text_choices += (formula,)
                return []
        return self._clauses.reduce(conjunct, choices) if choices else []

    def _collect(self, conjunct: Conjunct, todo: list[Schema]) -> bool:
        """Add schemas, and what they surely apply, to a conjunct; False if nothing can satisfy it any more."""
        keywords = self._keywords
        overrides = self._dialect.ref_overrides
        while todo:
            self._deadline.tick()
            schema = todo.pop()
            if schema is True:
                continue
            if schema is False:
                return False
            assert isinstance(schema, dict)
            if id(schema) in conjunct.schemas:
                continue
            conjunct.schemas.add(id(schema))
            later: list[Schema] = []
            if "$ref" in schema:
                later.append(self._targets[id(schema)])
                if overrides:
                    todo += later
                    continue
            for keyword, value in schema.items():
                add = keywords.get(keyword)
                if add is not None:
                    add(conjunct, value, schema)
            if "allOf" in schema:
                later += schema["allOf"]
            if "not" in schema:
                later.append(self._negation.of(schema["not"]))
            if self._contains and "contains" in schema:
                conjunct.some_items += ((0, schema["contains"], *contains_bounds(schema, self._dialect)),)
            if not self._choosing.isdisjoint(schema):
                for choice in self._choices(schema):
                    if len(choice) == 1:
                        later += choice
                    else:
                        conjunct.choices += (choice,)
            if not conjunct.types:
                return False
            todo += later[::-1]
        return conjunct.values is None or any(type_bit(value) & conjunct.types for value in conjunct.values)

    def _choices(self, schema: dict[Any, Any]) -> list[list[Schema]]:
        """The choices that a schema's keywords leave open."""
        made = self._made.get(id(schema))
        if made is None:
            made = [self.unevaluated.cases(schema, keyword) for keyword in self._looking_around if keyword in schema]
            made += (choice.branches for choice in self._choices_of(schema))
            self._made[id(schema)] = made
        return made
