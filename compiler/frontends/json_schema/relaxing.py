"""``on_unsupported="warn"``: what cannot be enforced is left out, so that the language only ever grows.

To leave out a keyword of a schema S makes S weaker: whatever held of S still holds. So must everything that refers to
S, and under a negation a weaker S would ask for *more*. So before a keyword is left out, whatever negates a schema from
which S can be reached (through subschemas and references) is weakened too:

    not N                      is left out
    if I then T else E         is left out
    oneOf [A, B]               becomes anyOf [A, B]
    contains, maxContains      maxContains is left out

Where what is left out evaluates properties or items (``$ref``, ``patternProperties``), ``unevaluatedProperties`` and
``unevaluatedItems`` of such schemas are left out too, and with ``patternProperties`` the ``additionalProperties``
beside it. Each keyword that went is listed with its pointer. A document with dynamic references is refused as ever.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from grammar_engine.compiler.errors import NotEnforced, UnsupportedSchemaError
from grammar_engine.compiler.frontends.json_schema.dialects import Dialects
from grammar_engine.compiler.frontends.json_schema.references import (
    IN_LIST,
    IN_MAP,
    IN_VALUE,
    References,
    Resource,
)

MAX_LEFT_OUT = 200
"""Keywords that one schema may have left out."""

_EVALUATING = ("$ref", "patternProperties")
_UNEVALUATED = ("unevaluatedProperties", "unevaluatedItems")
_CONDITIONAL = ("if", "then", "else")


class Relaxing:
    """Leaves keywords out of a document, in place."""

    def __init__(self, root: object, documents: Mapping[str, object]) -> None:
        self._root = root
        self._documents = documents
        self.left_out: list[NotEnforced] = []

    def leave_out(self, error: UnsupportedSchemaError) -> bool:
        """Leave out what an error names; False if that cannot be done."""
        place = self._find(error.pointer)
        if place is None or len(self.left_out) >= MAX_LEFT_OUT:
            return False
        holder, keyword = place
        before = len(self.left_out)
        if not self._weaken_negations(holder, evaluating=keyword in _EVALUATING):
            return False
        if not error.keyword.startswith("negated "):
            if keyword == "patternProperties":
                self._drop(holder, "additionalProperties", error.pointer.rsplit("/", 1)[0])
            holder.pop(keyword, None)
            self.left_out.append(NotEnforced(error.keyword, error.pointer))
        return len(self.left_out) > before

    def _find(self, pointer: str) -> tuple[dict[str, Any], str] | None:
        """The schema and the keyword at a pointer, whose steps may lead through references."""
        tokens = [token.replace("~1", "/").replace("~0", "~") for token in pointer.split("/")[1:]]
        references = self._references()
        node: Any = self._root
        resource = references.resource
        holder: tuple[dict[str, Any], str] | None = None
        last = "schema"  # what the node is: a schema, or a map or list of them below a keyword
        for index, token in enumerate(tokens):
            if isinstance(node, dict) and last == "schema":
                resource = references.enter(node, resource)
                holder = (node, token)
                if token == "$ref" and index + 1 < len(tokens):  # noqa: S105
                    node, resource = references.resolve(node[token], resource, lambda: pointer)
                    continue
            if isinstance(node, dict) and token in node:
                several = (last == "schema") and (token in IN_MAP or isinstance(node[token], list))
                node = node[token]
                last = token if several else "schema"
            elif isinstance(node, list) and token.isdigit() and int(token) < len(node):
                node = node[int(token)]
                last = "schema"
            else:
                return None
        return None if holder is None or holder[1] == "$schema" else holder

    def _references(self) -> References:
        return References(self._root, Dialects(self._documents), self._documents)

    def _weaken_negations(self, target: dict[str, Any], *, evaluating: bool) -> bool:
        """False if what reaches the target is not known: dynamic references may lead anywhere."""
        schemas: dict[int, dict[str, Any]] = {}
        pointers: dict[int, str] = {}
        above: dict[int, list[tuple[int, str]]] = {}
        references = self._references()
        todo: list[tuple[Any, Resource, str]] = [(self._root, references.resource, "")]
        while todo:
            schema, resource, pointer = todo.pop()
            if not isinstance(schema, dict) or id(schema) in schemas:
                continue
            schemas[id(schema)], pointers[id(schema)] = schema, pointer
            resource = references.enter(schema, resource)
            if "$dynamicRef" in schema or "$recursiveRef" in schema:
                return False
            for keyword, child, inside, way in _below(schema, resource, references):
                if isinstance(child, dict):
                    above.setdefault(id(child), []).append((id(schema), keyword))
                    todo.append((child, inside, pointer + way))
        reached = {id(target)}
        rest = [id(target)]
        while rest:
            for holder, keyword in above.get(rest.pop(), ()):
                self._weaken(schemas[holder], keyword, pointers[holder], evaluating=evaluating)
                if holder not in reached:
                    reached.add(holder)
                    rest.append(holder)
        if evaluating:
            for keyword in _UNEVALUATED:
                self._drop(target, keyword, pointers.get(id(target), ""))
        return True

    def _weaken(self, holder: dict[str, Any], keyword: str, pointer: str, *, evaluating: bool) -> None:
        if keyword == "not":
            self._drop(holder, "not", pointer)
        elif keyword == "if":
            if "then" in holder or "else" in holder:
                self.left_out.append(NotEnforced("if", f"{pointer}/if"))
            for name in _CONDITIONAL:
                holder.pop(name, None)
        elif keyword == "oneOf" and "oneOf" in holder:
            branches = holder.pop("oneOf")
            holder["allOf"] = [*holder.get("allOf", ()), {"anyOf": branches}]
            self.left_out.append(NotEnforced("oneOf (as anyOf)", f"{pointer}/oneOf"))
        elif keyword == "contains":
            self._drop(holder, "maxContains", pointer)
        if evaluating:
            for name in _UNEVALUATED:
                self._drop(holder, name, pointer)

    def _drop(self, holder: dict[str, Any], keyword: str, pointer: str) -> None:
        if keyword in holder:
            del holder[keyword]
            self.left_out.append(NotEnforced(keyword, f"{pointer}/{keyword}"))


def _below(
    schema: dict[str, Any], resource: Resource, references: References
) -> Iterator[tuple[str, Any, Resource, str]]:
    """(keyword, subschema or target of a reference, its resource, how the pointer goes on)."""
    for keyword, value in list(schema.items()):
        if keyword in IN_MAP and isinstance(value, dict):
            for name, member in value.items():
                yield keyword, member, resource, f"/{keyword}/{name.replace('~', '~0').replace('/', '~1')}"
        elif keyword in IN_LIST and isinstance(value, list):
            for index, member in enumerate(value):
                yield keyword, member, resource, f"/{keyword}/{index}"
        elif keyword in IN_VALUE:
            yield keyword, value, resource, f"/{keyword}"
        elif keyword == "$ref" and isinstance(value, str):
            try:
                target, inside = references.resolve(value, resource, lambda: "")
            except UnsupportedSchemaError:
                continue  # it lies elsewhere, and will be left out itself
            yield keyword, target, inside, f"/{keyword}"
