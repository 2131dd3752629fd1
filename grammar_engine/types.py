"""Python types and JSON Schemas alike: from what a caller hands in to a schema, and from the text back to a value.

``schema_of`` takes a pydantic model, a dataclass, a TypedDict, an enum, any type that pydantic's ``TypeAdapter``
takes, or a JSON Schema (dict, bool, JSON text, path of a .json file). For a type, the schema is the one that pydantic
validates by, with three differences, so that what the grammar admits is what validation admits:

- properties that the type would drop (``extra="ignore"``) are not offered: they say nothing
- formats that only pydantic knows become patterns, or are refused by name where no pattern can stand for them
- a set may repeat an item in the text, because the value does not (unless its length is bounded from below)

What a custom validator in the type refuses is beyond any schema; ``validate`` raises pydantic's own error then.
"""

from __future__ import annotations

import functools
import inspect
import json
import operator
import os
import sys
import types
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from grammar_engine.compiler.errors import InvalidSchemaError, UnsupportedSchemaError

if TYPE_CHECKING:
    from pydantic.json_schema import GenerateJsonSchema

JsonSchema = dict[str, Any] | bool

_OCTET = "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_IPV4 = rf"({_OCTET}\.){{3}}{_OCTET}"
_HEX = "[0-9a-fA-F]"
_UUID = f"^{_HEX}{{8}}-{_HEX}{{4}}-%s{_HEX}{{3}}-[89abAB]{_HEX}{{3}}-{_HEX}{{12}}$"
_LABEL = "[A-Za-z0-9]([A-Za-z0-9-]{0,30}[A-Za-z0-9])?"
_HOST = rf"({_LABEL}\.){{1,3}}[A-Za-z]{{2,12}}"
_PATH_CHARACTERS = "[A-Za-z0-9._~!$&'()*+,;=:@/-]"
_PATH = rf"(/{_PATH_CHARACTERS}{{0,1000}})?(\?{_PATH_CHARACTERS}{{0,500}})?(#{_PATH_CHARACTERS}{{0,200}})?"

PATTERNS: Mapping[str, str] = {
    **{f"uuid{version}": _UUID % version for version in (1, 3, 4, 5, 6, 7, 8)},
    "ipv4network": rf"^{_IPV4}/32$",
    "ipv4interface": rf"^{_IPV4}/(3[0-2]|[12]?[0-9])$",
    "ipvanyaddress": rf"^{_IPV4}$",
    "ipvanynetwork": rf"^{_IPV4}/32$",
    "ipvanyinterface": rf"^{_IPV4}/(3[0-2]|[12]?[0-9])$",
    "base64": "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$",
    "base64url": "^([A-Za-z0-9_-]{4})*([A-Za-z0-9_-]{2}==|[A-Za-z0-9_-]{3}=)?$",
    "color": "^#([0-9a-fA-F]{3}|[0-9a-fA-F]{6})$",
}
"""Formats that pydantic emits and the standard does not define: a pattern of texts that pydantic takes (not all that
it takes: a network's host bits must be zero, so only single hosts are offered)."""

_HELD_BY_PYTHON = frozenset(("date-time", "date", "time"))
"""Formats of which Python's types hold less than the standard allows (no leap seconds, no year 0000): taken in the
narrower sense that ``compiler.formats`` keeps under "python-" and the name."""

_FREE = frozenset(("binary", "password", "path"))
"""Formats of pydantic under which every string is valid."""

_REFUSED: Mapping[str, str] = {
    "file-path": "It depends on the file system.",
    "directory-path": "It depends on the file system.",
    "multi-host-uri": "Use a str with a pattern.",
    "name-email": "Use EmailStr.",
    "ipv6network": "Use a str with a pattern.",
    "ipv6interface": "Use a str with a pattern.",
    "phone": "Use a str with a pattern.",
}


class TypedSchema(NamedTuple):
    """A JSON Schema, and how a text that satisfies it becomes a value.

    schema: not to be changed. validate: JSON text → an instance of the type, or plain data for a JSON Schema; raises
    pydantic.ValidationError (a ValueError) for a type, ValueError for text that is not JSON.
    """

    schema: JsonSchema
    validate: Callable[[str], Any]


def schema_of(source: object) -> TypedSchema:
    """The schema that ``source`` is or stands for.

    Raises InvalidSchemaError for text or a file that is not JSON, a path that does not exist, or a type that pydantic
    cannot describe; UnsupportedSchemaError for a format of pydantic that no pattern can stand for.
    """
    if isinstance(source, dict | bool):
        return TypedSchema(schema=source, validate=json.loads)
    if isinstance(source, str | os.PathLike):
        return TypedSchema(schema=_read(source), validate=json.loads)
    if source is None or isinstance(source, int | float | list | tuple | set | bytes):
        raise InvalidSchemaError(f"{source!r} is neither a type nor a JSON Schema")
    if inspect.isroutine(source):
        raise InvalidSchemaError(f"{source!r} is a function, not a type")
    return _schema_of_type(source)


def _read(source: str | os.PathLike[str]) -> JsonSchema:
    text = source if isinstance(source, str) else os.fspath(source)
    if not isinstance(source, str) or text.endswith(".json"):
        try:
            text = Path(text).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidSchemaError(f"cannot read the schema: {error}") from error
    try:
        schema = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidSchemaError(f"the schema is neither JSON text nor the path of a .json file: {error}") from error
    if not isinstance(schema, dict | bool):
        raise InvalidSchemaError(f"a schema is an object or a boolean, not {type(schema).__name__}")
    return schema


def _schema_of_type(source: Any) -> TypedSchema:
    from pydantic import PydanticUserError, TypeAdapter
    from pydantic.errors import PydanticInvalidForJsonSchema, PydanticSchemaGenerationError, PydanticUndefinedAnnotation

    try:
        adapter: TypeAdapter[Any] = TypeAdapter(_modern(source))
        schema = adapter.json_schema(by_alias=True, mode="validation", schema_generator=_generator())
    except (PydanticInvalidForJsonSchema, PydanticSchemaGenerationError, PydanticUndefinedAnnotation) as error:
        raise InvalidSchemaError(f"{source!r} has no JSON Schema: {error}") from error
    except (PydanticUserError, TypeError, NameError, RecursionError) as error:
        raise InvalidSchemaError(f"{source!r} is not a type that pydantic understands: {error}") from error
    _translate(schema, "")
    return TypedSchema(schema=schema, validate=adapter.validate_json)


def _modern(hint: Any) -> Any:
    """The type with ``typing.TypedDict`` remade by typing_extensions, which pydantic asks for before Python 3.12."""
    if sys.version_info >= (3, 12):
        return hint
    if isinstance(hint, type) and type(hint) is type(_Probe):
        import typing_extensions

        required = hint.__required_keys__
        fields: dict[str, Any] = {}
        presences: tuple[Any, ...] = (typing_extensions.Required, typing_extensions.NotRequired)
        for name, member in typing_extensions.get_type_hints(hint, include_extras=True).items():
            while typing.get_origin(member) in presences:
                (member,) = typing.get_args(member)
            presence = typing_extensions.Required if name in required else typing_extensions.NotRequired
            fields[name] = presence[_modern(member)]
        return typing_extensions.TypedDict(hint.__name__, fields)  # type: ignore[operator]
    arguments = typing.get_args(hint)
    if not arguments or typing.get_origin(hint) in (typing.Literal, typing.Annotated):
        return hint
    modern = tuple(map(_modern, arguments))
    if all(new is old for new, old in zip(modern, arguments, strict=True)):
        return hint
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return functools.reduce(operator.or_, modern)
    return origin[modern]


class _Probe(typing.TypedDict):
    """Names the metaclass of ``typing.TypedDict``."""


def _translate(node: object, pointer: str) -> None:
    """Replace pydantic's own formats, in place, wherever a schema may stand."""
    if isinstance(node, list):
        for index, member in enumerate(node):
            _translate(member, f"{pointer}/{index}")
    if not isinstance(node, dict):
        return
    if "contentSchema" in node:
        raise UnsupportedSchemaError("contentSchema", pointer=pointer, advice="Nest the type instead of Json[...].")
    name = node.get("format")
    if isinstance(name, str) and node.get("type") == "string":
        if name in _REFUSED:
            raise UnsupportedSchemaError(f"format {name}", pointer=f"{pointer}/format", advice=_REFUSED[name])
        if name in _HELD_BY_PYTHON:
            node["format"] = f"python-{name}"
        elif name in _FREE:
            del node["format"]
        elif name in PATTERNS:
            del node["format"]
            pattern = {"pattern": PATTERNS[name]}
            if "pattern" in node:
                node.setdefault("allOf", []).append(pattern)
            else:
                node.update(pattern)
    for keyword, value in node.items():
        if keyword in ("properties", "patternProperties", "$defs"):
            for member, schema in value.items():
                _translate(schema, f"{pointer}/{keyword}/{member}")
        elif keyword not in ("enum", "const", "default", "examples"):
            _translate(value, f"{pointer}/{keyword}")


def _generator() -> type[GenerateJsonSchema]:
    """Pydantic's generator with this module's differences (made here, so that importing this module stays cheap)."""
    from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

    class Generator(GenerateJsonSchema):
        def model_schema(self, schema: Any) -> JsonSchemaValue:
            return _close(super().model_schema(schema))

        def dataclass_schema(self, schema: Any) -> JsonSchemaValue:
            return _close(super().dataclass_schema(schema))

        def typed_dict_schema(self, schema: Any) -> JsonSchemaValue:
            return _close(super().typed_dict_schema(schema))

        def set_schema(self, schema: Any) -> JsonSchemaValue:
            return _collapsing(super().set_schema(schema))

        def frozenset_schema(self, schema: Any) -> JsonSchemaValue:
            return _collapsing(super().frozenset_schema(schema))

        def dict_schema(self, schema: Any) -> JsonSchemaValue:
            described = super().dict_schema(schema)
            if schema.get("keys_schema", {}).get("type") == "int" and "propertyNames" not in described:
                described["propertyNames"] = {"pattern": "^(0|-?[1-9][0-9]{0,17})$"}
            return described

        def decimal_schema(self, schema: Any) -> JsonSchemaValue:
            described = super().decimal_schema(schema)
            number: JsonSchemaValue = next((s for s in described.get("anyOf", ()) if s["type"] == "number"), described)
            return _counted_digits(number, schema.get("max_digits"), schema.get("decimal_places"))

        def url_schema(self, schema: Any) -> JsonSchemaValue:
            described = super().url_schema(schema)
            schemes = schema.get("allowed_schemes")
            if schemes and set(schemes) <= {"http", "https", "ws", "wss", "ftp"}:
                for keyword in ("format", "minLength", "maxLength"):
                    described.pop(keyword, None)  # the pattern is bounded itself
                described["pattern"] = f"^({'|'.join(schemes)})://{_HOST}(:[1-9][0-9]{{0,3}})?{_PATH}$"
            return described

    return Generator


def _close(schema: dict[str, Any]) -> dict[str, Any]:
    if schema.get("type") == "object" and "properties" in schema:
        schema.setdefault("additionalProperties", False)
    return schema


def _counted_digits(number: dict[str, Any], digits: int | None, places: int | None) -> dict[str, Any]:
    """A decimal is offered as a number; its digits are bounded by a multiple and by two more bounds."""
    if digits is None and places is None:
        return number
    if places is None:
        places = digits // 2 if digits else 0
    bounds: list[dict[str, Any]] = [{"multipleOf": 10**-places if places else 1}]
    if digits is not None:
        limit = 10 ** (digits - places)
        bounds.append({"exclusiveMinimum": -limit, "exclusiveMaximum": limit})
    return {**number, "allOf": bounds}


def _collapsing(schema: dict[str, Any]) -> dict[str, Any]:
    if schema.get("minItems", 0) <= 1:
        schema.pop("uniqueItems", None)
    return schema
