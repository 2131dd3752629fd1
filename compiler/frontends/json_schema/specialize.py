"""Documents of several dialects, or with ``$dynamicRef`` or ``$recursiveRef``, rewritten into one of neither.

What a dynamic reference means depends on the *dynamic scope*: the resources that were entered on the way from the root
(JSON Schema 2020-12 core, §7.1 and §8.2.3.2). Of those the outermost that has the anchor binds it, and nothing binds it
anew. So all that matters of a scope is which anchor is bound to what, and only for names that several resources have:
there are finitely many scopes, and

    copy(schema, scope) = the schema with every subschema copied for the scope that holds there,
                          and every dynamic reference replaced by a ``$ref`` to copy(what it is bound to, scope)

is a finite document without dynamic references. Each copy is put into the words of 2020-12, so that the rest of the
front end meets one dialect only. Keywords that the schema's own dialect does not know are left out.

Documents that need none of this never come here.
"""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import Any
from urllib.parse import unquote

from grammar_engine.compiler.errors import LimitExceededError
from grammar_engine.compiler.frontends.json_schema.dialects import DRAFT_2020, Dialect
from grammar_engine.compiler.frontends.json_schema.paths import Path, pointer_of
from grammar_engine.compiler.frontends.json_schema.references import (
    IN_LIST,
    IN_MAP,
    IN_VALUE,
    RECURSIVE,
    Place,
    Resource,
    Schema,
)
from grammar_engine.compiler.frontends.json_schema.scan import Rewritten, Scan

MAX_COPIES = 50_000
"""Copies of subschemas, over all scopes."""

Scope = tuple[tuple[str, int], ...]
"""(anchor, identity of the schema that it is bound to), sorted by anchor; anchors of one resource only are left out."""


def specialize(scan: Scan) -> Rewritten:
    """The document of a scan, rewritten. What only dynamic references reach is scanned on the way.

    Raises LimitExceededError, and what ``Scan.explore`` raises.
    """
    writer = _Writer(scan)
    resource = scan.references.resource
    root = writer.copy(scan.root, (), resource, ())
    writer.run()
    return Rewritten(root, writer.targets, writer.origins)


class _Writer:
    def __init__(self, scan: Scan) -> None:
        self._scan = scan
        self._references = scan.references
        self._copies: dict[tuple[int, Scope], dict[Any, Any]] = {}
        self._todo: list[tuple[dict[Any, Any], dict[Any, Any], Scope, Resource, Path]] = []
        self._bound: dict[int, Place] = {}  # schemas that anchors are bound to, by identity
        self._scopes: dict[tuple[Scope, int], Scope] = {}
        self.targets: dict[int, Schema] = {}
        self.origins: dict[int, Path] = {}
        names = Counter(
            name for resource in self._references.resources() for name in self._references.dynamic_anchors(resource)
        )
        self._contested = {name for name, count in names.items() if count > 1}

    def run(self) -> None:
        """Fill the copies that were asked for, and those that they ask for."""
        while self._todo:
            self._fill(*self._todo.pop())

    def copy(self, schema: object, scope: Scope, resource: Resource, path: Path) -> Schema:
        """The copy of a schema that lies in ``resource``, or is another one inside it, reached in a scope."""
        if isinstance(schema, bool):
            return schema
        assert isinstance(schema, dict)
        inside = self._references.enter(schema, resource)
        scope = self._entered(scope, inside)
        found = self._copies.get((id(schema), scope))
        if found is None:
            if len(self._copies) >= MAX_COPIES:
                raise LimitExceededError(
                    "copies of subschemas for dynamic references", limit=str(MAX_COPIES), given="more"
                )
            found = self._copies[id(schema), scope] = {}
            self.origins[id(found)] = path
            self._todo.append((found, schema, scope, inside, path))
        return found

    def _entered(self, scope: Scope, resource: Resource) -> Scope:
        """The scope behind the entry into a resource, which binds what is not bound yet."""
        if not self._contested:
            return ()
        key = (scope, id(resource.root))
        found = self._scopes.get(key)
        if found is None:
            bound = dict(scope)
            for name, schema in self._references.dynamic_anchors(resource).items():
                if name in self._contested and name not in bound:
                    bound[name] = id(schema)
                    self._bound[id(schema)] = (schema, resource)
            found = self._scopes[key] = tuple(sorted(bound.items()))
        return found

    def _fill(self, new: dict[Any, Any], schema: dict[Any, Any], scope: Scope, resource: Resource, path: Path) -> None:
        dialect = resource.dialect

        def inside(member: object, *tokens: object) -> Schema:
            here: Path = path
            for token in tokens:
                here = (here, token)
            return self.copy(member, scope, resource, here)

        for keyword, value in schema.items():
            if keyword not in dialect.keywords or (dialect.ref_overrides and "$ref" in schema and keyword != "$ref"):
                continue
            if keyword == "$ref":
                place = self._references.resolve(value, resource, partial(pointer_of, (path, keyword)))
                self._refer(new, place, scope, (path, keyword))
            elif keyword in ("$dynamicRef", "$recursiveRef"):
                here = (path, keyword)
                place = self._dynamic(value, scope, resource, here)
                self._scan.explore(place[0], here, place[1])
                self._refer(new, place, scope, here)
            elif keyword in IN_MAP:
                new[keyword] = {
                    name: member if isinstance(member, list) else inside(member, keyword, name)
                    for name, member in value.items()
                }
            elif keyword in IN_LIST and isinstance(value, list):
                members = [inside(member, keyword, index) for index, member in enumerate(value)]
                new[keyword] = [*new.get(keyword, ()), *members]
            elif keyword in IN_VALUE:
                new[keyword] = inside(value, keyword)
            else:
                new[keyword] = value
        if dialect is not DRAFT_2020:
            _modernize(new, dialect)

    def _refer(self, new: dict[Any, Any], place: Place, scope: Scope, path: Path) -> None:
        """Add a reference. (A schema has one ``$ref``; a second reference goes into ``allOf``.)"""
        schema, resource = place
        target = self.copy(schema, self._entered(scope, resource), resource, path)
        holder = new
        if "$ref" in new:
            holder = {}
            new["allOf"] = [*new.get("allOf", ()), holder]
            self.origins[id(holder)] = path
        holder["$ref"] = "#"  # what it names stands in ``targets``
        self.targets[id(holder)] = target

    def _dynamic(self, reference: str, scope: Scope, resource: Resource, path: Path) -> Place:
        """What a dynamic reference is bound to: first resolved like ``$ref``, then looked up in the scope."""
        schema, inside = place = self._references.resolve(reference, resource, partial(pointer_of, path))
        anchors = self._references.dynamic_anchors(inside)
        name = RECURSIVE if "$recursiveRef" in resource.dialect.keywords else unquote(reference.rpartition("#")[2])
        if anchors.get(name) is not schema:
            return place
        bound = dict(scope).get(name)
        return place if bound is None else self._bound[bound]


def _modernize(schema: dict[Any, Any], dialect: Dialect) -> None:
    """Say in the words of 2020-12 what a schema says in an older draft's. It holds that draft's keywords only."""
    if dialect.boolean_exclusive:
        for bound, exclusive in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
            if schema.pop(exclusive, False) is True and bound in schema:
                schema[exclusive] = schema.pop(bound)
    if dialect.items_array:
        rest = schema.pop("additionalItems", None)
        if isinstance(schema.get("items"), list):
            prefix = schema.pop("items")
            if prefix:
                schema["prefixItems"] = prefix
            if rest is not None:
                schema["items"] = rest
        if "unevaluatedItems" in dialect.keywords and "contains" in schema:
            counts = {k: schema.pop(k) for k in ("contains", "minContains", "maxContains") if k in schema}
            # 2019-09: ``contains`` evaluates nothing. What stands below ``not`` does not, either.
            schema["allOf"] = [*schema.get("allOf", ()), {"not": {"not": counts}}]
    asked = schema.pop("dependencies", None)
    if asked is not None:
        names = {name: value for name, value in asked.items() if isinstance(value, list)}
        if names:
            schema["dependentRequired"] = names
        if len(names) < len(asked):
            schema["dependentSchemas"] = {name: value for name, value in asked.items() if name not in names}
