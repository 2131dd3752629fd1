"""One pass over a schema at compile time: is every keyword well-formed, enforced, and does every reference resolve?

Expansion is lazy, so an error that it met would surface in the middle of a generation. This pass visits what the root
can reach (definitions that nothing names are not part of the language) and costs a dictionary lookup per keyword.

A schema that stands under a negation (``not``, ``if``, a branch of ``oneOf``) is visited a second time, because a
keyword may be enforceable while its negation is not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from grammar_engine.compiler.errors import InvalidSchemaError, UnsupportedSchemaError
from grammar_engine.compiler.frontends.json_schema.dialects import Dialect
from grammar_engine.compiler.frontends.json_schema.lexical import Lexical
from grammar_engine.compiler.frontends.json_schema.references import References, Resource, Schema

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


class Scan:
    """The pass, and what it leaves behind: the target of every reference, by identity of the schema that holds it."""

    def __init__(self, root: object, dialect: Dialect, lexical: Lexical) -> None:
        self.dialect = dialect
        self.references = References(root, dialect)
        self.targets: dict[int, Schema] = {}
        self.lexical = lexical
        self._checks = {name: check for name, check in _CHECKS.items() if name in dialect.keywords}
        self._seen: set[int] = set()
        self._resource = self.references.resource
        self._todo: list[tuple[object, Path, Resource]] = [(root, (), self._resource)]
        self._places: dict[int, list[tuple[object, Path]]] = {}  # what is applied to the same value
        while self._todo:
            schema, path, self._resource = self._todo.pop()
            self.visit(schema, path)
        self._refuse_loops()

    def visit(self, schema: object, path: Path) -> None:
        """Check a subschema and everything in it."""
        if schema is True or schema is False:
            return
        if not isinstance(schema, dict):
            raise self.invalid(f"a schema is an object or a boolean, not {type(schema).__name__}", path)
        if id(schema) in self._seen:
            return
        self._seen.add(id(schema))
        outer = self._resource
        if self.dialect.id_keyword in schema:
            self._resource = self.references.enter(schema, outer)
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
                        check(self, value, (path, keyword))
                        if keyword in _IN_PLACE:
                            self._note_in_place(schema, value, (path, keyword))
        self._resource = outer

    def invalid(self, message: str, path: Path) -> InvalidSchemaError:
        """The error of a malformed schema."""
        return InvalidSchemaError(message, pointer=pointer_of(path))

    def _reference(self, schema: dict[str, object], path: Path) -> None:
        here: Path = (path, "$ref")
        reference = schema["$ref"]
        if not isinstance(reference, str):
            raise self.invalid("$ref is a string", here)
        target, resource = self.references.resolve(reference, self._resource, pointer_of(here))
        if not isinstance(target, dict | bool):
            raise self.invalid(f"$ref {reference!r} points to something that is no schema", here)
        self.targets[id(schema)] = target
        self._places.setdefault(id(schema), []).append((target, here))
        if id(target) not in self._seen:
            self._todo.append((target, here, resource))

    def _note_in_place(self, schema: dict[str, object], value: object, path: Path) -> None:
        members: Iterable[object] = value if isinstance(value, list) else (value,)
        self._places.setdefault(id(schema), []).extend((member, path) for member in members)

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
        raise scan.invalid(f"{path[-1]} is an object of schemas", path)
    for name, schema in value.items():
        scan.visit(schema, (path, name))


def _schema_list(scan: Scan, value: object, path: Path) -> None:
    if not isinstance(value, list) or not value:
        raise scan.invalid(f"{path[-1]} is a non-empty list of schemas", path)
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
        raise scan.invalid(f"{path[-1]} is a whole number and not negative", path)


def _number(scan: Scan, value: object, path: Path) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise scan.invalid(f"{path[-1]} is a number", path)


def _exclusive(scan: Scan, value: object, path: Path) -> None:
    if scan.dialect.boolean_exclusive:
        if not isinstance(value, bool):
            raise scan.invalid(f"{path[-1]} is a boolean in draft 4", path)
    else:
        _number(scan, value, path)


def _multiple(scan: Scan, value: object, path: Path) -> None:
    _number(scan, value, path)
    if value <= 0:  # type: ignore[operator]
        raise scan.invalid("multipleOf is greater than zero", path)
    scan.lexical.check_multiple(value, pointer_of(path))  # type: ignore[arg-type]


def _names(scan: Scan, value: object, path: Path) -> None:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise scan.invalid(f"{path[-1]} is a list of strings", path)


def _enum(scan: Scan, value: object, path: Path) -> None:
    if not isinstance(value, list):
        raise scan.invalid("enum is a list of values", path)


def _anything(scan: Scan, value: object, path: Path) -> None:
    """const: every value is one."""


def _text(scan: Scan, value: object, path: Path) -> None:
    if not isinstance(value, str):
        raise scan.invalid(f"{path[-1]} is a string", path)


def _pattern(scan: Scan, value: object, path: Path) -> None:
    if not isinstance(value, str):
        raise scan.invalid("pattern is a string", path)
    scan.lexical.check_pattern(value, pointer_of(path))


def _unique(scan: Scan, value: object, path: Path) -> None:
    if value is False:
        return
    if value is not True:
        raise scan.invalid("uniqueItems is a boolean", path)
    _unsupported(scan, value, path)


def _unsupported(scan: Scan, value: object, path: Path) -> None:
    raise UnsupportedSchemaError(
        str(path[-1]), pointer=pointer_of(path), advice="Leave it out, or say the same with other keywords."
    )


_IN_PLACE = frozenset(("allOf", "anyOf"))

_CHECKS: dict[str, Check] = {
    "type": _type,
    "enum": _enum,
    "const": _anything,
    "properties": _schema_map,
    "required": _names,
    "additionalProperties": _schema,
    "patternProperties": _unsupported,
    "propertyNames": _unsupported,
    "minProperties": _unsupported,
    "maxProperties": _unsupported,
    "dependencies": _unsupported,
    "dependentRequired": _unsupported,
    "dependentSchemas": _unsupported,
    "unevaluatedProperties": _unsupported,
    "unevaluatedItems": _unsupported,
    "items": _items,
    "prefixItems": _schema_list,
    "additionalItems": _schema,
    "minItems": _count,
    "maxItems": _count,
    "uniqueItems": _unique,
    "contains": _unsupported,
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
    "oneOf": _unsupported,
    "not": _unsupported,
    "if": _unsupported,
    "then": _schema,
    "else": _schema,
    "$ref": _text,
    "$dynamicRef": _unsupported,
    "$recursiveRef": _unsupported,
}
