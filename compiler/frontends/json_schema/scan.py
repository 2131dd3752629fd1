"""One pass over a schema at compile time: is every keyword well-formed, enforced, and does every reference resolve?

Expansion is lazy, so an error that it met would surface in the middle of a generation. This pass visits what the root
can reach (definitions that nothing names are not part of the language) and costs a dictionary lookup per keyword.

A schema that stands under a negation (``not``, ``if``, a branch of ``oneOf``) is visited a second time, because a
keyword may be enforceable while its negation is not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from grammar_engine.compiler.errors import InvalidSchemaError, UnsupportedSchemaError
from grammar_engine.compiler.frontends.json_schema.dialects import unknown_dialect
from grammar_engine.compiler.frontends.json_schema.disjoint import Disjoint
from grammar_engine.compiler.frontends.json_schema.json_types import type_bits
from grammar_engine.compiler.frontends.json_schema.lexical import Lexical
from grammar_engine.compiler.frontends.json_schema.paths import Path, last, pointer_of
from grammar_engine.compiler.frontends.json_schema.references import References, Resource, Schema
from grammar_engine.compiler.frontends.json_schema.scan_checks import WITH_SIBLINGS, checks_of
from grammar_engine.compiler.limits import Deadline

_IN_PLACE = frozenset(("allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependencies", "dependentSchemas"))
_NO_NEGATION = frozenset(("uniqueItems",))
_NEGATED_MAPS = frozenset(("properties", "patternProperties", "dependencies", "dependentSchemas"))
_NEGATED_LISTS = frozenset(("allOf", "anyOf", "oneOf", "prefixItems"))
_NEGATED_SCHEMAS = frozenset(
    [
        "additionalProperties",
        "propertyNames",
        "items",
        "additionalItems",
        "contains",
        "if",
        "then",
        "else",
        "unevaluatedProperties",
        "unevaluatedItems",
    ]
)


class Rewritten(NamedTuple):
    """A document rewritten by ``specialize.py``. targets: of each ``$ref``; origins: where a schema came from."""

    root: Schema
    targets: dict[int, Schema]
    origins: dict[int, Path]


class Scan:
    """The pass, and what it leaves behind: the target of every reference, by identity of the schema that holds it."""

    def __init__(
        self, references: References, lexical: Lexical, deadline: Deadline, rewritten: Rewritten | None = None
    ) -> None:
        """rewritten: what ``specialize.py`` made; its references are resolved already, and it knows their places."""
        self._deadline = deadline
        self._resource = references.resource
        self.root = self._resource.root
        self.dialect = self._resource.dialect
        self.references = references
        self.targets: dict[int, Schema] = {}
        self.lexical = lexical
        self.needs_rewriting = self.dialect.partial  # several dialects, or references bound by the dynamic scope
        self.plain_integers = self.dialect.plain_integers  # does any schema's dialect say so?
        self._rewritten = rewritten
        self._origins: Mapping[int, Path] = {} if rewritten is None else rewritten.origins
        self._checks = checks_of(self.dialect)
        self._seen: set[int] = set()
        self._children: list[tuple[dict[str, object], Path, Resource]] = []
        self._todo: list[tuple[object, Path, Resource]] = []
        self._places: dict[int, list[tuple[object, Path]]] = {}  # what is applied to the same value
        self._negated: list[tuple[object, Path]] = []
        self._one_of: list[tuple[dict[str, object], Path]] = []
        self.unevaluated: list[tuple[dict[str, object], str]] = []  # schemas that hold such a keyword, and which one
        self.negated_unevaluated: list[tuple[dict[str, object], str]] = []
        self.overlaps: dict[int, Sequence[Sequence[int]]] = {}
        self.distinct: dict[int, Path] = {}  # schemas with uniqueItems, and where it stands
        self.explore(self.root, (), self._resource)

    def explore(self, schema: object, path: Path, resource: Resource) -> None:
        """Check a schema and everything that it can reach. ``resource``: what it lies in."""
        self._todo.append((schema, path, resource))
        children = self._children
        while self._todo:
            schema, path, self._resource = self._todo.pop()
            self.visit(schema, path)
            stack = children[:]
            children.clear()
            while stack:
                self._deadline.tick()
                below, path, resource = stack.pop()
                self._switch(resource, path)
                self._look_at(below, path)
                if children:
                    stack += reversed(children)
                    children.clear()

    def finish(self) -> None:
        """What takes all references to be known: loops, branches that exclude each other, negations."""
        self._refuse_loops()
        self.disjoint = disjoint = Disjoint(self.dialect, self.targets, self.lexical)
        for holder, path in self._one_of:
            self._compare_branches(disjoint, holder, path)
        self._refuse_negations()

    def visit(self, schema: object, path: Path) -> None:
        """Check a subschema, later: a document may be nested deeper than Python can recurse."""
        if schema is True or schema is False:
            return
        if not isinstance(schema, dict):
            raise self.invalid(f"a schema is an object or a boolean, not {type(schema).__name__}", path)
        if id(schema) in self._seen:
            return
        self._seen.add(id(schema))
        self._children.append((schema, path, self._resource))

    def _look_at(self, schema: dict[str, object], path: Path) -> None:
        outer = self._resource
        if self._origins:
            path = self._origins.get(id(schema), path)
        if self.dialect.id_keyword in schema or "$schema" in schema:
            self._switch(self.references.enter(schema, outer), path)
        if "$ref" in schema and self.dialect.ref_overrides:
            self._reference(schema, path)
        else:
            checks = self._checks
            for keyword, value in schema.items():
                check = checks.get(keyword)
                if check is not None:
                    if keyword == "$ref":
                        self._reference(schema, path)
                    else:
                        here: Path = (path, keyword)
                        check(self, value, here)
                        if keyword in _IN_PLACE:
                            self._note_in_place(schema, value, here)
                        if keyword in WITH_SIBLINGS:
                            WITH_SIBLINGS[keyword](self, schema, here)

    def _switch(self, resource: Resource, path: Path) -> None:
        """Go on in a resource, and in its dialect."""
        if resource.unknown:
            raise unknown_dialect(resource.unknown, pointer_of((path, "$schema")))
        self._resource = resource
        if resource.dialect is not self.dialect:
            self.needs_rewriting = True
            self.dialect = resource.dialect
            self.plain_integers = self.plain_integers or self.dialect.plain_integers
            self._checks = checks_of(self.dialect)

    def invalid(self, message: str, path: Path) -> InvalidSchemaError:
        """The error of a malformed schema."""
        return InvalidSchemaError(message, pointer=pointer_of(path))

    def _reference(self, schema: dict[str, object], path: Path) -> None:
        here: Path = (path, "$ref")
        reference = schema["$ref"]
        if not isinstance(reference, str):
            raise self.invalid("$ref is a string", here)
        if self._rewritten is not None:
            target: object = self._rewritten.targets[id(schema)]
            resource = self._resource
        else:
            target, resource = self.references.resolve(reference, self._resource, partial(pointer_of, here))
        if not isinstance(target, dict | bool):
            raise self.invalid(f"$ref {reference!r} points to something that is no schema", here)
        self.targets[id(schema)] = target
        self._places.setdefault(id(schema), []).append((target, here))
        if id(target) not in self._seen:
            self._todo.append((target, here, resource))

    def _note_in_place(self, schema: dict[str, object], value: object, path: Path) -> None:
        members: Iterable[object] = (value,)
        if isinstance(value, list):
            members = value
        elif last(path) in ("dependencies", "dependentSchemas"):
            members = value.values()  # type: ignore[attr-defined]
        self._places.setdefault(id(schema), []).extend((member, path) for member in members)

    def negate(self, schema: object, path: Path) -> None:
        """Note that a schema stands under a negation."""
        self._negated.append((schema, path))

    def one_of(self, holder: dict[str, object], path: Path) -> None:
        """Note a ``oneOf``, to be looked at when all references are known."""
        self._one_of.append((holder, path))

    def _compare_branches(self, disjoint: Disjoint, holder: dict[str, object], path: Path) -> None:
        branches: list[Schema] = holder["oneOf"]  # type: ignore[assignment]
        types = type_bits(holder.get("type"))
        overlaps = disjoint.overlaps(types, branches, self._deadline)
        self.overlaps[id(holder)] = overlaps
        for index, others in enumerate(overlaps):
            if others:
                self.negate(branches[index], (path, index))

    def _refuse_negations(self) -> None:
        """Follow every negated schema to the keywords that have no negation here."""
        seen: set[int] = set()
        while self._negated:
            self._deadline.tick()
            schema, path = self._negated.pop()
            if not isinstance(schema, dict) or id(schema) in seen:
                continue
            seen.add(id(schema))
            if "$ref" in schema:
                self.negate(self.targets[id(schema)], (path, "$ref"))
                if self.dialect.ref_overrides:
                    continue
            for keyword, value in schema.items():
                if keyword not in self._checks:
                    continue
                here: Path = (path, keyword)
                if keyword in _NO_NEGATION and value is not False:
                    raise UnsupportedSchemaError(
                        f"negated {keyword}",
                        pointer=pointer_of(here),
                        advice="It stands under not, if or oneOf; say the same without the negation.",
                    )
                if keyword in _NEGATED_MAPS:
                    for name, member in value.items():
                        self.negate(member, (here, name))
                elif keyword in _NEGATED_LISTS or (keyword == "items" and isinstance(value, list)):
                    for index, member in enumerate(value):
                        self.negate(member, (here, index))
                elif keyword in _NEGATED_SCHEMAS:
                    self.negate(value, here)
                if keyword in ("unevaluatedProperties", "unevaluatedItems"):
                    self.negated_unevaluated.append((schema, keyword))

    def _refuse_loops(self) -> None:
        """A schema that applies itself to the same value says nothing: the standard forbids it."""
        done: set[int] = set()
        for start in self._places:
            if start in done:
                continue
            open_: set[int] = {start}
            stack = [(start, iter(self._places[start]))]
            while stack:
                node, rest = stack[-1]
                for target, path in rest:
                    name = id(target)
                    if name in open_:
                        raise self.invalid("the schema refers to itself without reading anything", path)
                    if name not in done and name in self._places:
                        open_.add(name)
                        stack.append((name, iter(self._places[name])))
                        break
                else:
                    stack.pop()
                    open_.discard(node)
                    done.add(node)
