"""Python types and JSON Schemas alike: from what a caller hands in to a schema, and from the text back to a value.

``schema_of`` takes a pydantic model, a dataclass, a TypedDict, an enum, any type that pydantic's ``TypeAdapter``
takes, or a JSON Schema (dict, bool, JSON text, path of a .json file). For a type, the schema is the one that pydantic
validates by, made as narrow as validation is (``type_schema.py``); docs/types.md lists, type by type, what is offered.

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
from typing import Any, NamedTuple

from grammar_engine.compiler.errors import InvalidSchemaError, UnsupportedSchemaError
from grammar_engine.type_patterns import ASCII, FORMATS

JsonSchema = dict[str, Any] | bool

_FREE = frozenset(("binary", "password", "path"))
"""Formats of pydantic under which every string is valid."""

_REFUSED: Mapping[str, str] = {
    "file-path": "It depends on the file system.",
    "directory-path": "It depends on the file system.",
    "name-email": "Use EmailStr.",
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

    from grammar_engine.type_schema import Generator

    try:
        adapter: TypeAdapter[Any] = TypeAdapter(_modern(source))
        schema = adapter.json_schema(mode="validation", schema_generator=Generator)
    except (PydanticInvalidForJsonSchema, PydanticSchemaGenerationError, PydanticUndefinedAnnotation) as error:
        raise InvalidSchemaError(f"{source!r} has no JSON Schema: {error}") from error
    except (PydanticUserError, TypeError, NameError, RecursionError, ImportError) as error:
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
            presence = presences[name not in required]
            while (written := typing.get_origin(member)) in presences:
                presence = written  # annotations that were texts are not counted in __required_keys__
                (member,) = typing.get_args(member)
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
    if name is None and node.get("type") in ("integer", "number") and "enum" not in node and "const" not in node:
        node["format"] = "python-number"
    if isinstance(name, str):
        if name in _REFUSED:
            raise UnsupportedSchemaError(f"format {name}", pointer=f"{pointer}/format", advice=_REFUSED[name])
        if name in ("base64", "base64url") and ("minLength" in node or "maxLength" in node):
            raise UnsupportedSchemaError(
                f"format {name} with a length", pointer=f"{pointer}/format", advice="Check the length in a validator."
            )
        if name in _FREE:
            del node["format"]
            if name == "password" and "maxLength" in node:
                node["pattern"] = ASCII  # secret bytes are counted as bytes
        elif name in FORMATS:
            del node["format"]
            pattern = {"pattern": FORMATS[name]}
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
