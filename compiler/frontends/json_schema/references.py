"""Finding what ``$ref`` names: JSON pointers, anchors and embedded resources of one document (RFC 6901, RFC 3986).

Nothing outside the document is ever fetched. A *resource* is a part of the document with its own ``$id``; a pointer in
a reference starts from the resource that the reference's URI names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import unquote, urldefrag, urljoin

from grammar_engine.compiler.errors import InvalidSchemaError, UnsupportedSchemaError
from grammar_engine.compiler.frontends.json_schema.dialects import Dialect

Schema = bool | dict[Any, Any]

_NOT_SCHEMAS = frozenset(("enum", "const", "default", "examples"))


class Resource:
    """A schema with a base URI."""

    __slots__ = ("root", "uri")

    def __init__(self, root: object, uri: str) -> None:
        self.root = root
        self.uri = uri


class References:
    """Resolves the references of one document. The index of ids and anchors is built when first needed."""

    def __init__(self, root: object, dialect: Dialect) -> None:
        self._dialect = dialect
        self.resource = Resource(root, self._id_of(root) or "")
        self._cache: dict[tuple[str, str], tuple[object, Resource]] = {}
        self._index: dict[str, tuple[object, Resource]] | None = None

    def enter(self, schema: dict[str, object], resource: Resource) -> Resource:
        """The resource of a subschema: its own if it has an id, else the one around it."""
        if schema is resource.root:
            return resource
        own = self._id_of(schema)
        return resource if own is None else Resource(schema, urljoin(resource.uri, own))

    def resolve(self, reference: str, resource: Resource, pointer: Callable[[], str]) -> tuple[object, Resource]:
        """The schema that ``reference`` names, and its resource. ``pointer`` is where the reference stands."""
        key = (resource.uri, reference)
        if key not in self._cache:
            self._cache[key] = self._resolve(reference, resource, pointer)
        return self._cache[key]

    def _resolve(self, reference: str, resource: Resource, pointer: Callable[[], str]) -> tuple[object, Resource]:
        document, fragment = urldefrag(reference)
        target: tuple[object, Resource]
        if document and urljoin(resource.uri, document) != resource.uri:
            uri = urljoin(resource.uri, document)
            found = self._identified().get(uri)
            if found is None:
                raise UnsupportedSchemaError(
                    f"$ref {reference}",
                    pointer=pointer(),
                    advice="It lies outside the document; nothing is fetched. Embed it under $defs with its $id.",
                )
            target = found
        else:
            target = (resource.root, resource)
        fragment = unquote(fragment)
        if not fragment:
            return target
        if not fragment.startswith("/"):
            found = self._identified().get(f"{target[1].uri}#{fragment}")
            if found is None:
                raise InvalidSchemaError(f"$ref {reference!r} names no anchor", pointer=pointer())
            return found
        node, inside = target
        for token in fragment[1:].split("/"):
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

    def _id_of(self, schema: object) -> str | None:
        if not isinstance(schema, dict):
            return None
        if self._dialect.ref_overrides and "$ref" in schema:
            return None
        own = schema.get(self._dialect.id_keyword)
        if not isinstance(own, str):
            return None
        document = urldefrag(own)[0]
        return document or None

    def _identified(self) -> dict[str, tuple[object, Resource]]:
        if self._index is None:
            self._index = dict(self._walk(self.resource.root, self.resource))
        return self._index

    def _walk(self, node: object, resource: Resource) -> Iterator[tuple[str, tuple[object, Resource]]]:
        if isinstance(node, dict):
            inside = self.enter(node, resource)
            if inside.root is node:
                yield inside.uri, (node, inside)
            own = node.get(self._dialect.id_keyword)
            if isinstance(own, str) and own.startswith("#") and len(own) > 1 and self._dialect.ref_overrides:
                yield f"{inside.uri}{own}", (node, inside)
            for keyword in ("$anchor", "$dynamicAnchor"):
                anchor = node.get(keyword)
                if isinstance(anchor, str):
                    yield f"{inside.uri}#{anchor}", (node, inside)
            for keyword, value in node.items():
                if keyword not in _NOT_SCHEMAS:
                    yield from self._walk(value, inside)
        elif isinstance(node, list):
            for value in node:
                yield from self._walk(value, resource)
