"""Arguments as XML: each property in a tag of its own, texts as they are, all else as JSON.

    qwen_xml            <parameter=city>Paris</parameter>
    minimax_xml         <parameter name="city">Paris</parameter>
    glm_xml             <arg_key>city</arg_key><arg_value>Paris</arg_value>
    deepseek_xml        <｜DSML｜parameter name="city" string="true">Paris</｜DSML｜parameter>     string="false": JSON
    deepseek_v4_1_xml   <｜DSML｜ parameter name="city" string="true">Paris</｜DSML｜ parameter>

In the order of the schema; whitespace may stand between tags, and around JSON. Declared properties only: names of
others could not be told from markup. The value of a text is free, but for the tag that ends it. A schema that asks more
of it (a pattern, a length) is refused unless the texts are listed (``enum``, ``const``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from grammar_engine.compiler.errors import InvalidSchemaError, UnsupportedSchemaError
from grammar_engine.compiler.frontends.structural_tag.formats import Format, Free, Part, Repeat, Sequence, Text

_OF_OBJECTS = frozenset(
    (
        "$comment", "$defs", "$id", "$schema", "additionalProperties", "default", "definitions", "description",
        "examples", "properties", "required", "title", "type",
    )
)  # fmt: skip
_OF_TEXTS = frozenset(("$comment", "const", "default", "description", "enum", "examples", "title", "type"))


class Style(NamedTuple):
    """A begin is one or two texts with whitespace between them, in which ``{name}`` and ``{text}`` (true, false) are
    filled in.
    """

    begin: tuple[str, ...]
    end: str


STYLES = {
    "qwen_xml": Style(("<parameter={name}>",), "</parameter>"),
    "minimax_xml": Style(('<parameter name="{name}">',), "</parameter>"),
    "glm_xml": Style(("<arg_key>{name}</arg_key>", "<arg_value>"), "</arg_value>"),
    "deepseek_xml": Style(('<｜DSML｜parameter name="{name}" string="{text}">',), "</｜DSML｜parameter>"),
    "deepseek_v4_1_xml": Style(('<｜DSML｜ parameter name="{name}" string="{text}">',), "</｜DSML｜ parameter>"),
}


class XmlParameters:
    """Reads schemas of arguments in one style. gap: whitespace. json: the part of a schema, given where it stands."""

    def __init__(self, style: Style, gap: Format, json: Callable[[object, str], Part]) -> None:
        self._style = style
        self._gap = gap
        self._json = json

    def arguments(self, schema: object, pointer: str) -> Format:
        """The texts of the arguments of a function."""
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
        self._json(schema, pointer)  # its errors
        for name in required:
            if name not in properties:
                raise UnsupportedSchemaError(
                    "required", pointer=pointer + "/required", advice=f"Declare {name!r} in properties."
                )
        definitions = {key: schema[key] for key in ("$defs", "definitions", "$schema") if key in schema}
        elements: list[Format] = [self._gap]
        for name, value in properties.items():
            where = f"{pointer}/properties/{name.replace('~', '~0').replace('/', '~1')}"
            member = self._member(name, value, where, definitions)
            elements.append(member if name in required else Repeat(content=member, least=0, most=1))
        return Sequence(elements=tuple(elements))

    def _member(self, name: str, schema: object, pointer: str, definitions: dict[str, object]) -> Format:
        if not name or any(char in name for char in '<>"\n'):
            raise UnsupportedSchemaError("properties", pointer=pointer, advice="Its name cannot stand in such a tag.")
        style = self._style
        texts = listed_texts(schema)
        is_text = texts is not None or (isinstance(schema, dict) and schema.get("type") == "string")
        begins: list[Format] = []
        for part in style.begin:
            begin = part.format(name=name, text="true" if is_text else "false")
            begins += [self._gap] * bool(begins) + [Text(texts=(begin.encode(),))]
        if is_text:
            self._refuse_more(schema, pointer)
            value: Format = Free(excludes=(style.end,))
            if texts is not None:
                value = Sequence(elements=(self._gap, Text(texts=tuple(text.encode() for text in texts)), self._gap))
        else:
            whole = {**definitions, **schema} if isinstance(schema, dict) and definitions else schema
            value = Sequence(elements=(self._gap, self._json(whole, pointer), self._gap))
        return Sequence(elements=(*begins, value, Text(texts=(style.end.encode(),)), self._gap))

    def _refuse_more(self, schema: object, pointer: str) -> None:
        for keyword in schema if isinstance(schema, dict) else ():
            if keyword not in _OF_TEXTS:
                raise UnsupportedSchemaError(
                    keyword, pointer=f"{pointer}/{keyword}", advice="Written as XML, a text is free or listed (enum)."
                )


def listed_texts(schema: object) -> list[str] | None:
    """The values of a schema that lists texts and nothing else; None for another one."""
    if not isinstance(schema, dict):
        return None
    listed = schema.get("enum", [schema["const"]] if "const" in schema else None)
    if not isinstance(listed, list) or not listed:
        return None
    texts = [text for text in listed if isinstance(text, str)]
    return texts if len(texts) == len(listed) else None
