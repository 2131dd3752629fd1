"""What ``scan.py`` checks of each keyword: one function per form that a keyword's value may have."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import TYPE_CHECKING

from grammar_engine.compiler.frontends.json_schema.dialects import Dialect
from grammar_engine.compiler.frontends.json_schema.paths import Path, last, pointer_of

if TYPE_CHECKING:
    from grammar_engine.compiler.frontends.json_schema.scan import Scan

Check = Callable[["Scan", object, Path], None]

TYPES = frozenset(("null", "boolean", "object", "array", "string", "number", "integer"))


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


WITH_SIBLINGS: dict[str, Callable[[Scan, dict[str, object], Path], None]] = {
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
def checks_of(dialect: Dialect) -> Mapping[str, Check]:
    """The checks of the keywords that a dialect knows."""
    return {name: check for name, check in _CHECKS.items() if name in dialect.keywords}
