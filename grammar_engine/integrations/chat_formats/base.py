"""What a chat format is: the texts of an assistant's message as a structural tag, and what such a text says.

    message = reasoning? body
    body    = calls                                 a tool must be called
            | free text (call | free text)*         it may be; free text holds nothing that begins a call
            | JSON | JSON or calls                  the text must be JSON

Where the body is free text and reasoning is marked, free text does not hold the marks; so a text is read in one way.
"""

from __future__ import annotations

import hashlib
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from grammar_engine.errors import InvalidArgumentError
from grammar_engine.integrations.chat_formats import tags
from grammar_engine.integrations.chat_formats.tags import Tag
from grammar_engine.integrations.openai_request import Answer, Tool

REASONING = ("none", "optional", "required", "open")
"""No reasoning; a marked section before the answer, or not; always; one that the prompt has already begun."""
_STRING_OR_BRACKET = re.compile(r'"(?:[^"\\]|\\.)*"|[{\[]|[}\]]', re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class ToolCall:
    """A call. arguments: JSON text, as the model wrote it (of the XML format: as JSON)."""

    name: str
    arguments: str
    id: str = ""

    def as_dict(self) -> dict[str, Any]:
        """As in OpenAI's response."""
        return {"id": self.id, "type": "function", "function": {"name": self.name, "arguments": self.arguments}}


@dataclass(frozen=True, kw_only=True)
class ChatMessage:
    """An assistant's message: its text (None: it only calls tools), the calls, and reasoning if there is any."""

    content: str | None
    tool_calls: tuple[ToolCall, ...] = ()
    reasoning: str | None = None

    @property
    def finish_reason(self) -> str:
        """As in OpenAI's response: "tool_calls" or "stop"."""
        return "tool_calls" if self.tool_calls else "stop"

    def as_dict(self) -> dict[str, Any]:
        """As in OpenAI's response, with ``reasoning_content`` as several servers have it."""
        out: dict[str, Any] = {"role": "assistant", "content": self.content}
        if self.reasoning is not None:
            out["reasoning_content"] = self.reasoning
        if self.tool_calls:
            out["tool_calls"] = [call.as_dict() for call in self.tool_calls]
        return out


class Section(NamedTuple):
    """A way to begin calls: the text that does, and what follows it."""

    trigger: str
    rest: Tag


class ChatFormat(ABC):
    """One format. ``think``: the marks around reasoning."""

    name: str
    think: tuple[str, str] = ("<think>", "</think>")
    default_reasoning = "none"

    def tag(self, answer: Answer, reasoning: str) -> Tag:
        """The structural tag of the messages that are asked for."""
        body = self.body(answer, barred=() if reasoning == "none" else self.think)
        if reasoning != "none":
            opening, closing = self.think
            thought = tags.tag("" if reasoning == "open" else opening, tags.any_text([opening]), closing)
            if answer.schema is not None or answer.choice in ("required", "named"):
                thought = tags.sequence(thought, tags.pattern(r"\n{0,2}"))
            body = tags.sequence(tags.optional(thought) if reasoning == "optional" else thought, body)
        return {"type": "structural_tag", "format": body}

    def read(self, text: str, answer: Answer, reasoning: str) -> ChatMessage:
        """What a text of that structural tag says.

        Raises InvalidArgumentError for one that is none of its texts, as far as that shows.
        """
        thought = None
        opening, closing = self.think
        if reasoning in ("open", "required") or (reasoning == "optional" and text.startswith(opening)):
            begin = 0 if reasoning == "open" else len(opening)
            end = text.find(closing, begin)
            if end < 0:
                raise unreadable(text, len(text), f"{closing} is missing")
            thought, text = text[begin:end].strip("\n"), text[end + len(closing) :].lstrip("\n")
        content, calls = self.read_body(text, answer)
        if calls and not content.strip():
            return ChatMessage(content=None, tool_calls=numbered(calls, text), reasoning=thought)
        return ChatMessage(content=content, tool_calls=numbered(calls, text), reasoning=thought)

    def body(self, answer: Answer, barred: Sequence[str]) -> Tag:
        """The message without reasoning. barred: texts that free text does not hold."""
        schema = None if answer.schema is None else tags.json_schema(answer.schema)
        if answer.choice == "none":
            if schema is not None:
                return schema
            return tags.any_text([*barred, *(self.triggers(answer.tools) if answer.tools else ())])
        only = answer.choice == "named" or not answer.parallel
        if answer.choice == "auto" and schema is None:
            return self.mixed(answer.tools, barred, parallel=answer.parallel)
        sections = self.sections(answer.tools, several=not only, beside_json=schema is not None)
        calls = [tags.sequence(tags.text(section.trigger), section.rest) for section in sections]
        return tags.either([schema, *calls] if schema is not None and answer.choice == "auto" else calls)

    def mixed(self, tools: Sequence[Tool], barred: Sequence[str], *, parallel: bool) -> Tag:
        """Free text, then calls, or none."""
        return tags.dispatch(self.sections(tools, several=parallel), loop=False, excludes=barred)

    def triggers(self, tools: Sequence[Tool]) -> list[str]:
        """The texts that begin calls."""
        return [section.trigger for section in self.sections(tools, several=False)]

    @abstractmethod
    def sections(self, tools: Sequence[Tool], *, several: bool, beside_json: bool = False) -> list[Section]:
        """The ways to write one call, or several. beside_json: they must not begin like a JSON text."""

    def read_body(self, text: str, answer: Answer) -> tuple[str, list[ToolCall]]:
        """The text of a message without reasoning, and its calls."""
        calls: list[ToolCall] = []
        if answer.choice == "none":
            return text, calls
        sections = self.sections(answer.tools, several=False, beside_json=answer.schema is not None)
        begin = re.compile("|".join(re.escape(section.trigger) for section in sections))
        if answer.schema is not None and not begin.match(text):
            return text, calls
        content: list[str] = []
        at = 0
        while (found := begin.search(text, at)) is not None:
            content.append(text[at : found.start()])
            at = self.read_calls(text, found.start(), calls.append, answer.tools)
        content.append(text[at:])
        return "".join(content), calls

    @abstractmethod
    def read_calls(self, text: str, at: int, found: Callable[[ToolCall], None], tools: Sequence[Tool]) -> int:
        """Read the calls that begin at ``at``; where they end."""


def numbered(calls: Sequence[ToolCall], text: str) -> tuple[ToolCall, ...]:
    """The calls with ids, which equal messages share."""
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return tuple(
        ToolCall(name=call.name, arguments=call.arguments, id=f"call_{digest}{i}") for i, call in enumerate(calls)
    )


def end_of_container(text: str, at: int) -> int:
    """Where the JSON object or array ends that begins at ``at``."""
    depth = 0
    while (found := _STRING_OR_BRACKET.search(text, at)) is not None:
        at = found.end()
        mark = found[0]
        if mark in "{[":
            depth += 1
        elif mark in "}]":
            depth -= 1
            if depth == 0:
                return at
    raise unreadable(text, len(text), "an object does not end")


def expect(text: str, at: int, literal: str) -> int:
    """Where a literal text ends that must stand at ``at``."""
    if not text.startswith(literal, at):
        raise unreadable(text, at, f"expected {literal!r}")
    return at + len(literal)


def unreadable(text: str, at: int, why: str) -> InvalidArgumentError:
    """The error for a text that is not one of the format."""
    near = text[max(0, at - 20) : at + 20]
    return InvalidArgumentError(f"not a complete message of this format: {why} at {at}, near {near!r}", argument="text")
