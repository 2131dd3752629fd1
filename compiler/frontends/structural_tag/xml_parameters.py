"""Arguments as XML: each property in a tag of its own, texts as they are, all else as JSON or as tags (``xml_styles``).

In the order of the schema; whitespace may stand between tags, and around JSON. Declared properties only: names of
others could not be told from markup. The value of a text is free, but for the tag that ends it. A schema that asks more
of it (a pattern, a length) is refused unless the texts are listed (``enum``, ``const``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from grammar_engine.compiler.errors import InvalidSchemaError, UnsupportedSchemaError
from grammar_engine.compiler.frontends.structural_tag.formats import (
    EMPTY,
    Choice,
    Format,
    Free,
    Part,
    Repeat,
    Sequence,
    Text,
)
from grammar_engine.compiler.frontends.structural_tag.named_tokens import distinct
from grammar_engine.compiler.frontends.structural_tag.special_names import SpecialNames
from grammar_engine.compiler.frontends.structural_tag.xml_styles import Style

_ANNOTATIONS = frozenset(("$comment", "default", "description", "examples", "title"))
_OF_OBJECTS = _ANNOTATIONS | {
    "$defs",
    "$id",
    "$schema",
    "additionalProperties",
    "definitions",
    "properties",
    "required",
}
_OF_TEXTS = _ANNOTATIONS | {"const", "enum", "type"}
_OF_LISTS = _ANNOTATIONS | {"type", "items", "minItems", "maxItems"}
_KINDS: dict[type, str] = {str: "string", bool: "boolean", int: "integer", float: "number", type(None): "null"}
_MOST_ITEMS = 1000


class XmlParameters:
    """Reads schemas of arguments in one style. gap: whitespace. json: the part of a schema, given where it stands."""

    def __init__(
        self,
        style: Style,
        gap: Format,
        json: Callable[[object, str], Part],
        names: SpecialNames,
        excludes: tuple[str, ...],
    ) -> None:
        """excludes: what no text holds."""
        self._style = style
        self._gap = gap
        self._json = json
        self._names = names
        self._excludes = excludes

    def arguments(self, schema: object, pointer: str) -> Format:
        """The texts of the arguments of a function."""
        if not isinstance(schema, dict):
            raise InvalidSchemaError("parameters are the schema of an object", pointer=pointer)
        if schema.get("type", "object") != "object":
            raise InvalidSchemaError("parameters are the schema of an object", pointer=pointer + "/type")
        self._json(schema, pointer)  # its errors
        definitions = {key: schema[key] for key in ("$defs", "definitions", "$schema") if key in schema}
        return self._members(schema, pointer, definitions)

    def _members(self, schema: dict[str, Any], pointer: str, definitions: dict[str, object]) -> Format:
        """The tags of an object's properties."""
        _refuse_beyond(schema, _OF_OBJECTS | {"type"}, pointer, "Written as XML, only properties and required are.")
        properties: dict[str, Any] = schema.get("properties", {})
        required = schema.get("required", [])
        for name in required:
            if name not in properties:
                raise UnsupportedSchemaError(
                    "required", pointer=pointer + "/required", advice=f"Declare {name!r} in properties."
                )
        if not properties and not self._style.spaced:
            return EMPTY
        elements: list[Format] = [self._gap]
        for name, value in properties.items():
            where = f"{pointer}/properties/{name.replace('~', '~0').replace('/', '~1')}"
            barred = any(char in name for char in self._style.forbidden) or any(text in name for text in self._excludes)
            if not name or barred:
                raise UnsupportedSchemaError("properties", pointer=where, advice="Its name cannot stand in such a tag.")
            tagged = self._tagged(name, value, where, definitions)
            member = Sequence(elements=(tagged, self._gap))
            elements.append(member if name in required else Repeat(content=member, least=0, most=1))
        return Sequence(elements=tuple(elements))

    def _tagged(self, name: str | None, schema: object, pointer: str, definitions: dict[str, object]) -> Format:
        """A value in its tag; without a name: an item of a list."""
        style = self._style
        ways: list[Format] = []
        for kind, narrowed in self._by_type(schema, pointer):
            begins: list[Format] = []
            for part in style.begin if name is not None else (style.item,):
                begin = part.format(name=name, type=style.type_name(kind))
                begins += [self._gap] * bool(begins) + [self._literal(begin)]
            end = style.item_end if name is None else style.end.format(name=name)
            value = self._value(kind, narrowed, pointer, definitions, end)
            ways.append(Sequence(elements=(*begins, value, self._literal(end))))
        return Choice(elements=tuple(ways))

    def _by_type(self, schema: object, pointer: str) -> list[tuple[str, object]]:
        """The JSON types of a schema's values, and the schema for each; "" where the style needs no more than that they
        are no texts.
        """
        if not self._style.typed:
            texts = listed_texts(schema)
            is_text = texts is not None or (isinstance(schema, dict) and schema.get("type") == "string")
            return [("string" if is_text else "", schema)]
        listed = _listed(schema)
        if isinstance(schema, dict) and listed is not None:
            if any(type(value) not in _KINDS for value in listed):
                raise UnsupportedSchemaError(
                    "enum", pointer=pointer, advice="List texts, numbers, booleans and null only."
                )
            beside = {key: value for key, value in schema.items() if key not in ("enum", "const")}
            kinds = distinct(*(_KINDS[type(value)] for value in listed))
            return [
                (kind, {**beside, "enum": [value for value in listed if _KINDS[type(value)] == kind]}) for kind in kinds
            ]
        kind = schema.get("type") if isinstance(schema, dict) else None
        if isinstance(schema, dict) and isinstance(kind, (str, list)):
            named = [kind] if isinstance(kind, str) else list(distinct(*kind))
            return [(one, {**schema, "type": one}) for one in named]
        raise UnsupportedSchemaError(
            "type", pointer=pointer, advice="This style writes down the type of each value: say it, or list the values."
        )

    def _value(self, kind: str, schema: object, pointer: str, definitions: dict[str, object], end: str) -> Format:
        if kind == "string":
            return self._text(schema, pointer, end)
        if self._style.is_nested and isinstance(schema, dict) and kind == "object":
            return self._members(schema, pointer, definitions)
        if self._style.is_nested and isinstance(schema, dict) and kind == "array":
            return self._list(schema, pointer, definitions)
        whole = {**definitions, **schema} if isinstance(schema, dict) and definitions else schema
        if self._excludes and not _is_without_texts(schema):
            advice = "Excluded texts are kept out of plain texts only: give this value a type without texts in it."
            raise UnsupportedSchemaError("type", pointer=pointer, advice=advice)
        part = self._json(whole, pointer)
        return Sequence(elements=(self._gap, part, self._gap)) if self._style.spaced else part

    def _text(self, schema: object, pointer: str, end: str) -> Format:
        advice = "Written as XML, a text is free or listed (enum)."
        _refuse_beyond(schema, _OF_TEXTS, pointer, advice)
        texts = listed_texts(schema)
        if texts is None:
            return Free(excludes=distinct(self._style.excluded or end, *self._excludes))
        kept = [text for text in texts if not any(excluded in text for excluded in self._excludes)]
        if not kept:
            raise UnsupportedSchemaError("enum", pointer=pointer, advice="All that is listed is excluded.")
        value = Text(texts=tuple(text.encode() for text in kept))
        return Sequence(elements=(self._gap, value, self._gap)) if self._style.spaced else value

    def _list(self, schema: dict[str, Any], pointer: str, definitions: dict[str, object]) -> Format:
        _refuse_beyond(schema, _OF_LISTS, pointer, "Written as XML, only items, minItems and maxItems are.")
        if "items" not in schema:
            raise UnsupportedSchemaError("items", pointer=pointer, advice="Say what the items are.")
        least, most = schema.get("minItems", 0), schema.get("maxItems")
        if max(least, most or 0) > _MOST_ITEMS:
            raise UnsupportedSchemaError(
                "maxItems", pointer=pointer, advice=f"At most {_MOST_ITEMS} items are counted."
            )
        item = self._tagged(None, schema["items"], pointer + "/items", definitions)
        if self._style.items_apart:
            items = Repeat(content=Sequence(elements=(item, self._gap)), least=least, most=most)
            whole: Format = Sequence(elements=(self._gap, items))
            return whole if least else Choice(elements=(EMPTY, whole))
        return Sequence(elements=(self._gap, Repeat(content=item, least=least, most=most), self._gap))

    def _literal(self, text: str) -> Format:
        return Text(texts=self._names.texts(text))


def _refuse_beyond(schema: object, known: frozenset[str], pointer: str, advice: str) -> None:
    for keyword in schema if isinstance(schema, dict) else ():
        if keyword not in known:
            raise UnsupportedSchemaError(keyword, pointer=f"{pointer}/{keyword}", advice=advice)


def _is_without_texts(schema: object) -> bool:
    """Is it plain that the JSON of a schema holds no texts?"""
    kind = schema.get("type") if isinstance(schema, dict) else None
    return isinstance(kind, str) and kind in ("integer", "number", "boolean", "null")


def _listed(schema: object) -> list[Any] | None:
    if not isinstance(schema, dict):
        return None
    listed = schema.get("enum", [schema["const"]] if "const" in schema else None)
    return listed if isinstance(listed, list) and listed else None


def listed_texts(schema: object) -> list[str] | None:
    """The values of a schema that lists texts and nothing else; None for another one."""
    listed = _listed(schema)
    if listed is None:
        return None
    texts = [text for text in listed if isinstance(text, str)]
    return texts if len(texts) == len(listed) else None
