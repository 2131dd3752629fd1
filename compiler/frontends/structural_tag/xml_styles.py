"""How models write arguments as XML: the tags of each style.

    qwen_xml            <parameter=city>Paris</parameter>
    minimax_xml         <parameter name="city">Paris</parameter>
    glm_xml             <arg_key>city</arg_key><arg_value>Paris</arg_value>
    deepseek_xml        <｜DSML｜parameter name="city" string="true">Paris</｜DSML｜parameter>     string="false": JSON
    deepseek_v4_1_xml   <｜DSML｜ parameter name="city" string="true">Paris</｜DSML｜ parameter>
    kimi_k3_xml         <|open|>argument key="city" type="string"<|sep|>Paris<|close|>argument<|sep|>
    cohere_xml          <cofl:value name="city" type="raw">Paris</cofl:value>                      json, dict, list
    minimax_m3_xml      ]<]minimax[>[<city>Paris]<]minimax[>[</city>

In the last two objects and lists are not JSON but tags in a tag, those of a list without a name or named ``item``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

_MARK = "]<]minimax[>["
_FLAGS = {"string": "true", "": "false"}


class Style(NamedTuple):
    """begin: one or two texts with whitespace between them, in which ``{name}`` and ``{type}`` are filled in.

    types: what ``{type}`` is, by JSON type; "" stands for all others. typed: each type is written in its own way, so
    values of several types are read type by type. end: with ``{name}`` too. item, item_end: the tags of an item of a
    list; "" where objects and lists are written as JSON. items_apart: whitespace may stand between items. excluded:
    what no text holds, instead of the end of its tag. spaced: whitespace may stand around JSON. forbidden: characters
    that no name of a property may have.
    """

    begin: tuple[str, ...]
    end: str
    types: Mapping[str, str] = {}
    typed: bool = False
    item: str = ""
    item_end: str = ""
    items_apart: bool = False
    excluded: str = ""
    spaced: bool = True
    forbidden: str = '<>"\n'

    @property
    def is_nested(self) -> bool:
        """Are objects and lists written as tags?"""
        return bool(self.item)

    def type_name(self, kind: str) -> str:
        """What a tag says of a value of a JSON type."""
        return self.types.get(kind, self.types.get("", ""))


STYLES = {
    "qwen_xml": Style(("<parameter={name}>",), "</parameter>"),
    "minimax_xml": Style(('<parameter name="{name}">',), "</parameter>"),
    "glm_xml": Style(("<arg_key>{name}</arg_key>", "<arg_value>"), "</arg_value>"),
    "deepseek_xml": Style(('<｜DSML｜parameter name="{name}" string="{type}">',), "</｜DSML｜parameter>", _FLAGS),
    "deepseek_v4_1_xml": Style(
        ('<｜DSML｜ parameter name="{name}" string="{type}">',), "</｜DSML｜ parameter>", _FLAGS
    ),
    "kimi_k3_xml": Style(
        ('<|open|>argument key="{name}" type="{type}"<|sep|>',),
        "<|close|>argument<|sep|>",
        {kind: kind for kind in ("string", "number", "boolean", "object", "array", "null")} | {"integer": "number"},
        typed=True,
    ),
    "cohere_xml": Style(
        ('<cofl:value name="{name}" type="{type}">',),
        "</cofl:value>",
        {"string": "raw", "object": "dict", "array": "list", "": "json"},
        typed=True,
        item='<cofl:value type="{type}">',
        item_end="</cofl:value>",
        forbidden='<>"&\n',
    ),
    "minimax_m3_xml": Style(
        (_MARK + "<{name}>",),
        _MARK + "</{name}>",
        typed=True,
        item=_MARK + "<item>",
        item_end=_MARK + "</item>",
        items_apart=True,
        excluded=_MARK,
        spaced=False,
        forbidden='<>"\n/ ',
    ),
}
