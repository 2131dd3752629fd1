"""Formats in which a call is a name and a JSON object between fixed texts."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from grammar_engine.integrations.chat_formats import tags
from grammar_engine.integrations.chat_formats.base import (
    ChatFormat,
    Section,
    ToolCall,
    end_of_container,
    expect,
    unreadable,
)
from grammar_engine.integrations.chat_formats.tags import Tag
from grammar_engine.integrations.openai_request import Tool


class Framed(ChatFormat):
    """``trigger gap call (separator call)* close``, where ``call = before name between arguments after``.

    gap: a regular expression, of what may stand behind the trigger.
    """

    trigger: str
    gap = ""
    before = ""
    between: str
    after = ""
    separator = ""
    close = ""

    def one(self, tools: Sequence[Tool]) -> Tag:
        """One call."""
        return tags.either(
            [
                tags.tag(f"{self.before}{tool.name}{self.between}", tags.json_schema(tool.parameters), self.after)
                for tool in tools
            ]
        )

    def sections(self, tools: Sequence[Tool], *, several: bool, beside_json: bool = False) -> list[Section]:  # noqa: ARG002
        """See ``ChatFormat``."""
        call = self.one(tools)
        elements = [tags.pattern(self.gap)] if self.gap else []
        elements.append(call)
        if several:
            elements.append(tags.star(tags.sequence(tags.text(self.separator), call)))
        if self.close:
            elements.append(tags.text(self.close))
        return [Section(self.trigger, tags.sequence(*elements))]

    def read_calls(self, text: str, at: int, found: Callable[[ToolCall], None], tools: Sequence[Tool]) -> int:  # noqa: ARG002
        """See ``ChatFormat``."""
        at = expect(text, at, self.trigger)
        gap = re.compile(self.gap).match(text, at)
        if gap is None:
            raise unreadable(text, at, f"expected {self.gap!r}")
        at = gap.end()
        while True:
            at = self.read_call(text, at, found)
            if self.close and text.startswith(self.close, at):
                return at + len(self.close)
            if not text.startswith(self.separator + self.before, at) or at == len(text):
                break
            at += len(self.separator)
        return expect(text, at, self.close)

    def read_call(self, text: str, at: int, found: Callable[[ToolCall], None]) -> int:
        """Read one call; where it ends."""
        at = expect(text, at, self.before)
        end = text.find(self.between, at)
        if end < 0:
            raise unreadable(text, at, f"{self.between!r} is missing")
        begin = end + len(self.between)
        stop = end_of_container(text, begin)
        found(ToolCall(name=text[at:end], arguments=text[begin:stop]))
        return expect(text, stop, self.after)


class Hermes(Framed):
    """Hermes 2 Pro, Qwen 2.5, Qwen 3 and many that follow them: one pair of tags per call, text around them."""

    name = "hermes"
    trigger = "<tool_call>"
    before = '\n{"name": "'
    between = '", "arguments": '
    after = "}\n</tool_call>"
    separator = "\n<tool_call>"

    def mixed(self, tools: Sequence[Tool], barred: Sequence[str], *, parallel: bool) -> Tag:
        """See ``ChatFormat``."""
        return tags.dispatch(self.sections(tools, several=False), loop=parallel, excludes=barred)


class Llama3(Framed):
    """Llama 3.1 to 3.3: a JSON object with name and parameters, alone or behind ``<|python_tag|>``."""

    name = "llama3"
    trigger = '{"name": "'
    between = '", "parameters": '
    after = "}"
    separator = '; {"name": "'
    tagged = "<|python_tag|>"

    def sections(self, tools: Sequence[Tool], *, several: bool, beside_json: bool = False) -> list[Section]:
        """See ``ChatFormat``."""
        plain = super().sections(tools, several=several)[0]
        tagged = Section(self.tagged, tags.sequence(tags.text(self.trigger), plain.rest))
        return [tagged] if beside_json else [plain, tagged]

    def read_calls(self, text: str, at: int, found: Callable[[ToolCall], None], tools: Sequence[Tool]) -> int:
        """See ``ChatFormat``."""
        if text.startswith(self.tagged, at):
            at += len(self.tagged)
        return super().read_calls(text, at, found, tools)


class Mistral(Framed):
    """Mistral's models up to Large 2 and Nemo: one list of objects."""

    name = "mistral"
    think = ("[THINK]", "[/THINK]")
    trigger = "[TOOL_CALLS]"
    gap = r" ?\["
    before = '{"name": "'
    between = '", "arguments": '
    after = "}"
    separator = ", "
    close = "]"


class Mistral11(Framed):
    """Mistral's models with tokenizers from version 11 on: name and arguments of each call behind a mark."""

    name = "mistral11"
    think = ("[THINK]", "[/THINK]")
    trigger = "[TOOL_CALLS]"
    between = "[ARGS]"
    separator = "[TOOL_CALLS]"


class DeepSeekV3(Framed):
    """DeepSeek V3 and R1."""

    name = "deepseek_v3"
    trigger = "<｜tool▁calls▁begin｜>"
    before = "<｜tool▁call▁begin｜>function<｜tool▁sep｜>"
    between = "\n```json\n"
    after = "\n```<｜tool▁call▁end｜>"
    separator = "\n"
    close = "<｜tool▁calls▁end｜>"


class DeepSeekV31(Framed):
    """DeepSeek V3.1."""

    name = "deepseek_v3_1"
    trigger = "<｜tool▁calls▁begin｜>"
    before = "<｜tool▁call▁begin｜>"
    between = "<｜tool▁sep｜>"
    after = "<｜tool▁call▁end｜>"
    close = "<｜tool▁calls▁end｜>"
