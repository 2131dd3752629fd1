"""Qwen3-Coder's way to write arguments: each in a tag of its own, texts as they are, all else as JSON.

    <parameter=city>          In the order of the schema; between a tag and its value, and between parameters, one line
    Paris                     break or none. Declared properties only: names of others could not be told from markup.
    </parameter>
    <parameter=days>
    3
    </parameter>

The value of a text is free, but for ``</parameter>``. A schema that asks more of it (a pattern, a length) is refused
unless the texts are listed (``enum``, ``const``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from grammar_engine.compiler.errors import InvalidSchemaError, UnsupportedSchemaError
from grammar_engine.compiler.frontends.structural_tag.formats import Format, Free, Part, Repeat, Sequence, Text

END = "</parameter>"
_OF_OBJECTS = frozenset(
    ("$comment", "$defs", "$id", "$schema", "additionalProperties", "default", "definitions", "description", "examples",
     "properties", "required", "title", "type")
)  # fmt: skip
_OF_TEXTS = frozenset(("$comment", "const", "default", "description", "enum", "examples", "title", "type"))
_GAP = Text(texts=(b"", b"\n"))


def xml_parameters(schema: object, pointer: str, json: Callable[[object, str], Part]) -> Format:
    """The texts of the arguments of a function. ``json``: the part of a schema, given where it stands."""
    if not isinstance(schema, dict):
        raise InvalidSchemaError("parameters are the schema of an object", pointer=pointer)
    if schema.get("type", "object") != "object":
        raise InvalidSchemaError("parameters are the schema of an object", pointer=pointer + "/type")
    for keyword in schema:
        if keyword not in _OF_OBJECTS:
            raise UnsupportedSchemaError(
                keyword, pointer=f"{pointer}/{keyword}", advice="Written as XML, only properties and required are."
            )
    properties: dict[str, Any] = schema.get("properties", {})
    required = schema.get("required", [])
    if not isinstance(properties, dict) or not isinstance(required, list):
        raise InvalidSchemaError("properties is an object, required a list", pointer=pointer)
    json(schema, pointer)  # its errors
    for name in required:
        if name not in properties:
            raise UnsupportedSchemaError(
                "required", pointer=pointer + "/required", advice=f"Declare {name!r} in properties."
            )
    definitions = {key: schema[key] for key in ("$defs", "definitions", "$schema") if key in schema}
    elements: list[Format] = []
    for name, value in properties.items():
        where = f"{pointer}/properties/{name.replace('~', '~0').replace('/', '~1')}"
        if not name or any(char in name for char in "<>\n"):
            raise UnsupportedSchemaError("properties", pointer=where, advice="Its name cannot stand in such a tag.")
        begin = Text(texts=(f"<parameter={name}>".encode(),))
        member = Sequence(elements=(begin, _value(value, where, definitions, json), Text(texts=(END.encode(),)), _GAP))
        elements.append(member if name in required else Repeat(content=member, least=0, most=1))
    return Sequence(elements=tuple(elements)) if elements else Text(texts=(b"",))


def _value(schema: object, pointer: str, definitions: dict[str, object], json: Callable[[object, str], Part]) -> Format:
    kind = schema.get("type") if isinstance(schema, dict) else None
    listed: object = None
    if isinstance(schema, dict):
        listed = schema.get("enum", [schema["const"]] if "const" in schema else None)
    if isinstance(listed, list) and listed and all(isinstance(text, str) for text in listed):
        kind = "string"
    if kind == "string" and isinstance(schema, dict):
        for keyword in schema:
            if keyword not in _OF_TEXTS:
                raise UnsupportedSchemaError(
                    keyword, pointer=f"{pointer}/{keyword}", advice="Written as XML, a text is free or listed (enum)."
                )
        if isinstance(listed, list):
            texts = [text for text in listed if isinstance(text, str)]
            inside: Format = Text(texts=tuple(text.encode() for text in texts))
            return Sequence(elements=(_GAP, inside, _GAP))
        return Free(excludes=(END,))
    if isinstance(schema, dict) and definitions:
        schema = {**definitions, **schema}
    return Sequence(elements=(_GAP, json(schema, pointer), _GAP))
