"""Qwen3-Coder: each argument in a tag of its own (``structural_tag/xml_parameters.py``)."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Any

from grammar_engine.compiler.frontends.structural_tag.xml_parameters import listed_texts
from grammar_engine.integrations.chat_formats import tags
from grammar_engine.integrations.chat_formats.base import ChatFormat, Section, ToolCall, expect, unreadable
from grammar_engine.integrations.chat_formats.tags import Tag
from grammar_engine.integrations.openai_request import Tool

_OPEN, _CLOSE = "<parameter=", "</parameter>"
_SPACE = re.compile(r"[ \t\r\n]*")
_END = "</function>\n</tool_call>"


class QwenXml(ChatFormat):
    """Calls as XML, text around them."""

    name = "qwen_xml"
    trigger = "<tool_call>"
    before = "\n<function="

    def sections(self, tools: Sequence[Tool], *, several: bool, beside_json: bool = False) -> list[Section]:  # noqa: ARG002
        """See ``ChatFormat``."""
        call = tags.either(
            [
                tags.tag(
                    f"{self.before}{tool.name}>\n",
                    {"type": "json_schema", "json_schema": tool.parameters, "style": "qwen_xml"},
                    _END,
                )
                for tool in tools
            ]
        )
        if several:
            more = tags.star(tags.sequence(tags.text("\n" + self.trigger), call))
            return [Section(self.trigger, tags.sequence(call, more))]
        return [Section(self.trigger, call)]

    def mixed(self, tools: Sequence[Tool], barred: Sequence[str], *, parallel: bool) -> Tag:
        """See ``ChatFormat``."""
        return tags.dispatch(self.sections(tools, several=False), loop=parallel, excludes=barred)

    def read_calls(self, text: str, at: int, found: Callable[[ToolCall], None], tools: Sequence[Tool]) -> int:
        """See ``ChatFormat``."""
        at = self._read_call(text, at, found, tools)
        while text.startswith("\n" + self.trigger, at):
            at = self._read_call(text, at + 1, found, tools)
        return at

    def _read_call(self, text: str, at: int, found: Callable[[ToolCall], None], tools: Sequence[Tool]) -> int:
        at = expect(text, at, self.trigger + self.before)
        end = text.find(">\n", at)
        name = text[at:end]
        tool = next((tool for tool in tools if tool.name == name), None)
        if end < 0 or tool is None:
            raise unreadable(text, at, "the name of a function is missing")
        properties: dict[str, Any] = tool.parameters.get("properties", {})
        members: list[str] = []
        at = end + 2
        while text.startswith(_OPEN, at := at + len(_SPACE.match(text, at)[0])):  # type: ignore[index]
            begin = text.find(">", at) + 1
            stop = text.find(_CLOSE, begin)
            if begin == 0 or stop < 0:
                raise unreadable(text, at, f"{_CLOSE} is missing")
            key, value = text[at + len(_OPEN) : begin - 1], text[begin:stop]
            schema = properties.get(key)
            if listed_texts(schema) is not None:
                value = json.dumps(value.strip(" \t\r\n"), ensure_ascii=False)
            elif isinstance(schema, dict) and schema.get("type") == "string":
                value = json.dumps(value.removeprefix("\n").removesuffix("\n"), ensure_ascii=False)
            else:
                value = value.strip(" \t\r\n")
            members.append(f"{json.dumps(key, ensure_ascii=False)}: {value}")
            at = stop + len(_CLOSE)
        found(ToolCall(name=name, arguments="{" + ", ".join(members) + "}"))
        return expect(text, at, _END)
