"""One pass over a schema at compile time: is every keyword well-formed, enforced, and does every reference resolve?

Expansion is lazy, so an error that it met would surface in the middle of a generation. This pass visits what the root
can reach (definitions that nothing names are not part of the language) and costs a dictionary lookup per keyword.

A schema that stands under a negation (``not``, ``if``, a branch of ``oneOf``) is visited a second time, because a
keyword may be enforceable while its negation is not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import lru_cache, partial
from typing import NamedTuple

from grammar_engine.compiler.errors import InvalidSchemaError, UnsupportedSchemaError
from grammar_engine.compiler.frontends.json_schema.dialects import Dialect, unknown_dialect
from grammar_engine.compiler.frontends.json_schema.disjoint import Disjoint
from grammar_engine.compiler.frontends.json_schema.json_types import type_bits
from grammar_engine.compiler.frontends.json_schema.lexical import Lexical
from grammar_engine.compiler.frontends.json_schema.references import References, Resource, Schema
from grammar_engine.compiler.limits import Deadline

Path = tuple["Path", object] | tuple[()]
Check = Callable[["Scan", object, Path], None]

TYPES = frozenset(("null", "boolean", "object", "array", "string", "number", "integer"))


def pointer_of(path: Path) -> str:
    """The JSON pointer of a path (kept as a linked list, because it is only read where something is wrong)."""
    tokens: list[str] = []
    while path:
        path, token = path
        tokens.append(str(token).replace("~", "~0").replace("/", "~1"))
    return "".join("/" + token for token in reversed(tokens))


def pointer_among(paths: Mapping[int, Path], schemas: AbstractSet[int]) -> str:
    """The pointer of the first of the schemas, given by identity, that has a path; "" if none has."""
    return pointer_of(next((path for schema, path in paths.items() if schema in schemas), ()))


def last(path: Path) -> str:
    """The last token of a path: a keyword, most often."""
    return str(path[1]) if path else ""


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
        self._checks = _checks_of(self.dialect)
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
                        if keyword in _WITH_SIBLINGS:
                            _WITH_SIBLINGS[keyword](self, schema, here)

    def _switch(self, resource: Resource, path: Path) -> None:
        """Go on in a resource, and in its dialect."""
        if resource.unknown:
            raise unknown_dialect(resource.unknown, pointer_of((path, "$schema")))
        self._resource = resource
        if resource.dialect is not self.dialect:
            self.needs_rewriting = True
            self.dialect = resource.dialect
            self.plain_integers = self.plain_integers or self.dialect.plain_integers
            self._checks = _checks_of(self.dialect)

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


# -- one check per keyword --------------------------------------------------------------------------------------------


def _type(scan: Scan, value: object, path: Path) -> None:
    if isinstance(value, str):
        if value in TYPES:
            return
    elif isinstance(value, list) and value and all(isinstance(name, str) and name in TYPES for name in value):
        return
    raise scan.invalid(f"type is one of {', '.join(sorted(TYPES))}, or a list of them, not {value!r}", path)


def _schema(scan: Scan, value: object, path: Path) -> None:
    scan.visit(value, path)


def _schema_map(scan: Scan, value: object, path: Path) -> None:
    if not isinstance(value, dict):
        raise scan.invalid(f"{last(path)} is an object of schemas", path)
    for name, schema in value.items():
        scan.visit(schema, (path, name))


def _schema_list(scan: Scan, value: object, path: Path) -> None:
    if not isinstance(value, list) or not value:
        raise scan.invalid(f"{last(path)} is a non-empty list of schemas", path)
    for index, schema in enumerate(value):
        scan.visit(schema, (path, index))


def _items(scan: Scan, value: object, path: Path) -> None:
    if not isinstance(value, list):
        scan.visit(value, path)
        return
    if not scan.dialect.items_array:
        raise scan.invalid(
            "items is a schema in draft 2020-12; name an older draft in $schema, or use prefixItems", path
        )
    for index, schema in enumerate(value):
        scan.visit(schema, (path, index))


def _count(scan: Scan, value: object, path: Path) -> None:
    whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    if isinstance(value, bool) or not whole or value < 0:  # type: ignore[operator]
        raise scan.invalid(f"{last(path)} is a whole number and not negative", path)


def _number(scan: Scan, value: object, path: Path) -> None:
    finite = isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))
    if isinstance(value, bool) or not finite:
        raise scan.invalid(f"{last(path)} is a finite number", path)


def _exclusive(scan: Scan, value: object, path: Path) -> None:
    if scan.dialect.boolean_exclusive:
        if not isinstance(value, bool):
            raise scan.invalid(f"{last(path)} is a boolean in draft 4", path)
    else:
        _number(scan, value, path)


def _multiple(scan: Scan, value: object, path: Path) -> None:
    _number(scan, value, path)
    if value <= 0:  # type: ignore[operator]
        raise scan.invalid("multipleOf is greater than zero", path)


def _names(scan: Scan, value: object, path: Path) -> None:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise scan.invalid(f"{last(path)} is a list of strings", path)


def _enum(scan: Scan, value: object, path: Path) -> None:
    if not isinstance(value, list):
        raise scan.invalid("enum is a list of values", path)


def _anything(scan: Scan, value: object, path: Path) -> None:
    """const: every value is one."""


def _text(scan: Scan, value: object, path: Path) -> None:
    if not isinstance(value, str):
        raise scan.invalid(f"{last(path)} is a string", path)


def _pattern(scan: Scan, value: object, path: Path) -> None:
    if not isinstance(value, str):
        raise scan.invalid("pattern is a string", path)
    scan.lexical.check_pattern(value, partial(pointer_of, path))


def _unique(scan: Scan, value: object, path: Path) -> None:
    if value is False:
        return
    if value is not True:
        raise scan.invalid("uniqueItems is a boolean", path)


def _distinct(scan: Scan, holder: dict[str, object], path: Path) -> None:
    if holder["uniqueItems"]:
        scan.distinct[id(holder)] = path


def _pattern_map(scan: Scan, value: object, path: Path) -> None:
    _schema_map(scan, value, path)
    for pattern in value:  # type: ignore[attr-defined]
        scan.lexical.check_pattern(pattern, partial(pointer_of, (path, pattern)))


def _dependencies(scan: Scan, value: object, path: Path) -> None:
    if not isinstance(value, dict):
        raise scan.invalid(f"{last(path)} is an object", path)
    for name, asked in value.items():
        if isinstance(asked, list):
            _names(scan, asked, (path, name))
        else:
            scan.visit(asked, (path, name))


def _dependent_required(scan: Scan, value: object, path: Path) -> None:
    if not isinstance(value, dict):
        raise scan.invalid(f"{last(path)} is an object", path)
    for name, asked in value.items():
        _names(scan, asked, (path, name))


def _not(scan: Scan, value: object, path: Path) -> None:
    scan.visit(value, path)
    scan.negate(value, path)


def _one_of(scan: Scan, schema: dict[str, object], path: Path) -> None:
    scan.one_of(schema, path)


def _conditional(scan: Scan, schema: dict[str, object], path: Path) -> None:
    if "then" in schema or "else" in schema:
        scan.negate(schema["if"], path)


def _counted_contains(scan: Scan, schema: dict[str, object], path: Path) -> None:
    if "maxContains" in schema and "maxContains" in scan.dialect.keywords:
        scan.negate(schema["contains"], path)


def _unevaluated(scan: Scan, schema: dict[str, object], path: Path) -> None:
    scan.unevaluated.append((schema, last(path)))


def _dynamic_reference(scan: Scan, value: object, path: Path) -> None:
    _text(scan, value, path)
    scan.needs_rewriting = True


def _recursive_reference(scan: Scan, value: object, path: Path) -> None:
    if value != "#":
        raise scan.invalid("$recursiveRef is always #", path)
    scan.needs_rewriting = True


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

_WITH_SIBLINGS: dict[str, Callable[[Scan, dict[str, object], Path], None]] = {
    "oneOf": _one_of,
    "if": _conditional,
    "contains": _counted_contains,
    "unevaluatedProperties": _unevaluated,
    "unevaluatedItems": _unevaluated,
    "uniqueItems": _distinct,
}

_CHECKS: dict[str, Check] = {
    "type": _type,
    "enum": _enum,
    "const": _anything,
    "properties": _schema_map,
    "required": _names,
    "additionalProperties": _schema,
    "patternProperties": _pattern_map,
    "propertyNames": _schema,
    "minProperties": _count,
    "maxProperties": _count,
    "dependencies": _dependencies,
    "dependentRequired": _dependent_required,
    "dependentSchemas": _schema_map,
    "unevaluatedProperties": _schema,
    "unevaluatedItems": _schema,
    "items": _items,
    "prefixItems": _schema_list,
    "additionalItems": _schema,
    "minItems": _count,
    "maxItems": _count,
    "uniqueItems": _unique,
    "contains": _schema,
    "minContains": _count,
    "maxContains": _count,
    "minLength": _count,
    "maxLength": _count,
    "pattern": _pattern,
    "format": _text,
    "minimum": _number,
    "maximum": _number,
    "exclusiveMinimum": _exclusive,
    "exclusiveMaximum": _exclusive,
    "multipleOf": _multiple,
    "allOf": _schema_list,
    "anyOf": _schema_list,
    "oneOf": _schema_list,
    "not": _not,
    "if": _schema,
    "then": _schema,
    "else": _schema,
    "$ref": _text,
    "$dynamicRef": _dynamic_reference,
    "$recursiveRef": _recursive_reference,
}


@lru_cache(maxsize=16)
def _checks_of(dialect: Dialect) -> Mapping[str, Check]:
    return {name: check for name, check in _CHECKS.items() if name in dialect.keywords}
