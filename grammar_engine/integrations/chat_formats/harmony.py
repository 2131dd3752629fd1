"""Harmony, the format of gpt-oss: messages in channels, with headers. The prompt ends with ``<|start|>assistant``.

    <|channel|>analysis<|message|>…<|end|><|start|>assistant            reasoning, any number of times
    <|channel|>commentary<|message|>…<|end|><|start|>assistant          text before a call
    <|channel|>commentary to=functions.f <|constrain|>json<|message|>{…}<|call|>    a call, which ends the turn
    <|channel|>final<|message|>…                                        the answer, which ends it too

``<|call|>`` is a stop token of these models. There is one call per turn.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from grammar_engine.integrations.chat_formats import tags
from grammar_engine.integrations.chat_formats.base import (
    ChatFormat,
    ChatMessage,
    Section,
    ToolCall,
    end_of_container,
    numbered,
    unreadable,
)
from grammar_engine.integrations.chat_formats.tags import Tag
from grammar_engine.integrations.openai_request import Answer, Tool

_MARKS = ("<|start|>", "<|end|>", "<|message|>", "<|channel|>", "<|constrain|>", "<|return|>", "<|call|>")
_NEXT = "<|start|>assistant"
_HEADER = re.compile(
    r"(?: to=functions\.(?P<before>[^<\s]+))?<\|channel\|>(?P<channel>analysis|commentary|final)"
    r"(?: to=functions\.(?P<behind>[^<\s]+))? ?(?:<\|constrain\|>)?(?:json)?<\|message\|>"
)


class Harmony(ChatFormat):
    """See the module. reasoning: "none" allows no analysis; all else allows it."""

    name = "harmony"
    default_reasoning = "optional"

    def tag(self, answer: Answer, reasoning: str) -> Tag:
        """See ``ChatFormat``."""
        free = tags.any_text(_MARKS)
        before: list[Tag] = []
        if reasoning != "none":
            before.append(tags.tag("<|channel|>analysis<|message|>", free, "<|end|>"))
        if answer.choice == "auto" and answer.schema is None:
            before.append(tags.tag("<|channel|>commentary<|message|>", free, "<|end|>"))
        last: list[Tag] = []
        if answer.choice in ("none", "auto"):
            if answer.schema is None:
                last.append(tags.tag("<|channel|>final<|message|>", free, ""))
            else:
                content = tags.json_schema(answer.schema)
                begins = ("<|channel|>final<|message|>", "<|channel|>final <|constrain|>json<|message|>")
                last += [tags.tag(begin, content, "") for begin in begins]
        if answer.choice != "none":
            last += [tag for tool in answer.tools for tag in _call(tool)]
        elements = [tags.star(tags.sequence(tags.either(before), tags.text(_NEXT)))] if before else []
        return {"type": "structural_tag", "format": tags.sequence(*elements, tags.either(last))}

    def read(self, text: str, answer: Answer, reasoning: str) -> ChatMessage:  # noqa: ARG002
        """See ``ChatFormat``."""
        thoughts: list[str] = []
        contents: list[str] = []
        calls: list[ToolCall] = []
        at = 0
        while True:
            header = _HEADER.match(text, at)
            if header is None:
                raise unreadable(text, at, "the header of a message is missing")
            at = header.end()
            name = header["before"] or header["behind"]
            if name is not None:
                end = end_of_container(text, at)
                calls.append(ToolCall(name=name, arguments=text[at:end]))
                rest = text[end:]
                if rest not in ("", "<|call|>"):
                    raise unreadable(text, end, "a call ends the turn")
                break
            end = text.find("<|end|>", at)
            body = text[at : len(text) if end < 0 else end].removesuffix("<|return|>")
            (thoughts if header["channel"] == "analysis" else contents).append(body)
            if end < 0:
                if header["channel"] != "final":
                    raise unreadable(text, len(text), "<|end|> is missing")
                break
            at = end + len("<|end|>")
            if not text.startswith(_NEXT, at):
                raise unreadable(text, at, f"expected {_NEXT}")
            at += len(_NEXT)
        content = "\n".join(contents)
        return ChatMessage(
            content=None if calls and not content.strip() else content,
            tool_calls=numbered(calls, text),
            reasoning="\n".join(thoughts) if thoughts else None,
        )

    def sections(self, tools: Sequence[Tool], *, several: bool, beside_json: bool = False) -> list[Section]:
        """Calls are messages here: see ``tag``."""
        raise NotImplementedError

    def read_calls(self, text: str, at: int, found: Callable[[ToolCall], None], tools: Sequence[Tool]) -> int:
        """Calls are messages here: see ``read``."""
        raise NotImplementedError


def _call(tool: Tool) -> list[Tag]:
    content = tags.json_schema(tool.parameters)
    begins = (
        f"<|channel|>commentary to=functions.{tool.name} <|constrain|>json<|message|>",
        f"<|channel|>commentary to=functions.{tool.name}<|constrain|>json<|message|>",
        f" to=functions.{tool.name}<|channel|>commentary <|constrain|>json<|message|>",
        f" to=functions.{tool.name}<|channel|>commentary json<|message|>",
    )
    return [tags.tag(begin, content, "<|call|>") for begin in begins]
