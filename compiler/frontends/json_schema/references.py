"""Finding what ``$ref`` names: pointers, anchors, embedded resources (RFC 6901, RFC 3986; JSON Schema core, §8).

A *resource* is a document, or a part of it with its own ``$id``: it has a base URI, and by ``$schema`` perhaps a draft
of its own. A reference's URI is looked for among the resources of the document itself, then among the documents that
the caller passed, then among the resources embedded in those. Nothing is ever fetched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import unquote, urldefrag, urljoin

from grammar_engine.compiler.errors import InvalidSchemaError, UnsupportedSchemaError
from grammar_engine.compiler.frontends.json_schema.dialects import Dialect, Dialects

Schema = bool | dict[Any, Any]

IN_VALUE = frozenset(
    [
        "additionalItems",
        "additionalProperties",
        "contains",
        "contentSchema",
        "else",
        "if",
        "items",
        "not",
        "propertyNames",
        "then",
        "unevaluatedItems",
        "unevaluatedProperties",
    ]
)
"""Keywords whose value is a schema (``items`` may also be a list of them)."""
IN_LIST = frozenset(("allOf", "anyOf", "oneOf", "prefixItems", "items"))
"""Keywords whose value is a list of schemas."""
IN_MAP = frozenset(
    ("$defs", "definitions", "dependencies", "dependentSchemas", "patternProperties", "properties")
)  # ``dependencies`` may also hold lists of names
"""Keywords whose value is an object of schemas."""

RECURSIVE = ""
"""The name under which ``$recursiveAnchor: true`` is kept, among the dynamic anchors."""


class Resource:
    """A schema with a base URI and a draft. unknown: the ``$schema`` that it names, where that is no known draft."""

    __slots__ = ("dialect", "root", "unknown", "uri")

    def __init__(self, root: object, uri: str, dialect: Dialect, unknown: str = "") -> None:
        self.root = root
        self.uri = uri
        self.dialect = dialect
        self.unknown = unknown


Place = tuple[object, Resource]
"""A schema, and the resource that it lies in."""


class References:
    """Resolves the references of one document. What it needs to know of all resources is gathered when asked for."""

    def __init__(self, root: object, dialects: Dialects, documents: Mapping[str, object]) -> None:
        """documents: further documents by their URI. One that names no draft is read in that of ``root``."""
        self._dialects = dialects
        self._documents = {urldefrag(uri)[0]: document for uri, document in documents.items()}
        self._resources: dict[int, Resource] = {}
        dialect = dialects.of(root)
        self.resource = Resource(root, id_of(root, dialect) or "", dialect)
        self._resources[id(root)] = self.resource
        self._cache: dict[tuple[int, str], Place] = {}
        self._own: dict[str, Resource] | None = None
        self._others: dict[str, Resource] | None = None
        self._anchors: dict[int, tuple[dict[str, object], dict[str, object]]] = {}

    def enter(self, schema: dict[str, object], resource: Resource) -> Resource:
        """The resource of a subschema: its own if it has an id, else the one around it."""
        if schema is resource.root:
            return resource
        dialect: Dialect | None = resource.dialect
        if "$schema" in schema:
            dialect = self._dialects.known(schema["$schema"])
        own = id_of(schema, dialect or resource.dialect)
        if own is None:
            return resource
        found = self._resources.get(id(schema))
        if found is None:
            unknown = "" if dialect is not None else str(schema["$schema"])
            found = Resource(schema, urljoin(resource.uri, own), dialect or resource.dialect, unknown)
            self._resources[id(schema)] = found
        return found

    def resolve(self, reference: str, resource: Resource, pointer: Callable[[], str]) -> Place:
        """The schema that ``reference`` names, and its resource. ``pointer`` is where the reference stands."""
        key = (id(resource.root), reference)
        if key not in self._cache:
            self._cache[key] = self._resolve(reference, resource, pointer)
        return self._cache[key]

    def _resolve(self, reference: str, resource: Resource, pointer: Callable[[], str]) -> Place:
        document, fragment = ("", reference[1:]) if reference.startswith("#") else urldefrag(reference)
        target: Resource | None = resource
        if document:
            target = self._find(urljoin(resource.uri, document), resource)
        if target is None:
            raise UnsupportedSchemaError(
                f"$ref {reference}",
                pointer=pointer(),
                advice="It lies outside the document, and nothing is fetched. Pass that document in documents=, or "
                "embed it under $defs with its $id.",
            )
        if "%" in fragment:
            fragment = unquote(fragment)
        if not fragment:
            return target.root, target
        if not fragment.startswith("/"):
            anchors = self._anchors_of(target)[0]
            if fragment not in anchors:
                raise InvalidSchemaError(f"$ref {reference!r} names no anchor", pointer=pointer())
            return anchors[fragment], target
        node, inside = target.root, target
        for token in fragment[1:].split("/"):
            if "~" in token:
                token = token.replace("~1", "/").replace("~0", "~")
            if isinstance(node, dict) and token in node:
                node = node[token]
            elif isinstance(node, list) and token.isdigit() and int(token) < len(node):
                node = node[int(token)]
            else:
                raise InvalidSchemaError(f"$ref {reference!r} points to nothing", pointer=pointer())
            if isinstance(node, dict):
                inside = self.enter(node, inside)
        if not isinstance(node, dict | bool):
            raise InvalidSchemaError(f"$ref {reference!r} points to something that is no schema", pointer=pointer())
        return node, inside

    # -- resources ----------------------------------------------------------------------------------------------------

    def _find(self, uri: str, resource: Resource) -> Resource | None:
        if uri == resource.uri:
            return resource
        if self._own is None:
            self._own = self._index(self.resource)
        return self._own.get(uri) or self._document(uri) or self._embedded().get(uri)

    def _document(self, uri: str) -> Resource | None:
        """The document that the caller passed under a URI."""
        if uri not in self._documents:
            return None
        root = self._documents[uri]
        found = self._resources.get(id(root))
        if found is None or found.root is not root:
            dialect: Dialect | None = self.resource.dialect
            unknown = ""
            if isinstance(root, dict) and "$schema" in root:
                dialect = self._dialects.known(root["$schema"])
                unknown = "" if dialect is not None else str(root["$schema"])
            dialect = dialect or self.resource.dialect
            found = self._resources[id(root)] = Resource(
                root, urljoin(uri, id_of(root, dialect) or ""), dialect, unknown
            )
        return found

    def _embedded(self) -> dict[str, Resource]:
        if self._others is None:
            self._others = {}
            for uri in self._documents:
                document = self._document(uri)
                assert document is not None
                for name, resource in self._index(document).items():
                    self._others.setdefault(name, resource)
        return self._others

    def _index(self, document: Resource) -> dict[str, Resource]:
        """The resources of a document, by URI; of several with the same one the outermost and first."""
        found: dict[str, Resource] = {}
        for node, resource in self._walk(document.root, document):
            if resource.root is node:
                found.setdefault(resource.uri, resource)
        return found

    def resources(self) -> list[Resource]:
        """All resources: those of the document, and those of the documents passed."""
        if self._own is None:
            self._own = self._index(self.resource)
        return [*self._own.values(), *self._embedded().values()]

    def _walk(self, node: object, resource: Resource) -> Iterator[Place]:
        """A schema and all subschemas where a keyword has some, each with its resource."""
        todo: list[Place] = [(node, resource)]
        while todo:
            node, resource = todo.pop()
            if not isinstance(node, dict):
                continue
            inside = self.enter(node, resource)
            yield node, inside
            below: list[Place] = []
            for keyword, value in node.items():
                if keyword in IN_MAP and isinstance(value, dict):
                    below += ((member, inside) for member in value.values())
                elif keyword in IN_LIST and isinstance(value, list):
                    below += ((member, inside) for member in value)
                elif keyword in IN_VALUE:
                    below.append((value, inside))
            todo += reversed(below)

    # -- anchors ------------------------------------------------------------------------------------------------------

    def dynamic_anchors(self, resource: Resource) -> Mapping[str, object]:
        """The schemas of a resource that a dynamic reference may be bound to, by the anchor's name."""
        return self._anchors_of(resource)[1]

    def _anchors_of(self, resource: Resource) -> tuple[dict[str, object], dict[str, object]]:
        """All anchors, and the dynamic ones."""
        known = self._anchors.get(id(resource.root))
        if known is None:
            known = self._anchors[id(resource.root)] = ({}, {})
            for node, inside in self._walk(resource.root, resource):
                if inside is resource:
                    assert isinstance(node, dict)
                    _note_anchors(node, resource, *known)
        return known


def _note_anchors(
    node: dict[str, object], resource: Resource, anchors: dict[str, object], dynamic: dict[str, object]
) -> None:
    dialect = resource.dialect
    if dialect.ref_overrides:
        own = node.get(dialect.id_keyword)
        if isinstance(own, str) and "$ref" not in node and (fragment := urldefrag(own)[1]):
            anchors.setdefault(fragment, node)
        return
    anchor = node.get("$anchor")
    if isinstance(anchor, str):
        anchors.setdefault(anchor, node)
    anchor = node.get("$dynamicAnchor")
    if isinstance(anchor, str) and "$dynamicRef" in dialect.keywords:
        anchors.setdefault(anchor, node)
        dynamic.setdefault(anchor, node)
    if node is resource.root and node.get("$recursiveAnchor") is True and "$recursiveRef" in dialect.keywords:
        dynamic[RECURSIVE] = node


def id_of(schema: object, dialect: Dialect) -> str | None:
    """The URI reference that makes a schema a resource of its own; None: it is none."""
    if not isinstance(schema, dict):
        return None
    own = schema.get(dialect.id_keyword)
    if not isinstance(own, str) or (dialect.ref_overrides and "$ref" in schema):
        return None
    return urldefrag(own)[0] or None
