"""The formats by name, and which one a chat template writes."""

from __future__ import annotations

from grammar_engine.errors import InvalidArgumentError
from grammar_engine.integrations.chat_formats.base import ChatFormat
from grammar_engine.integrations.chat_formats.framed import (
    DeepSeekV3,
    DeepSeekV31,
    Hermes,
    Llama3,
    Mistral,
    Mistral11,
)
from grammar_engine.integrations.chat_formats.harmony import Harmony
from grammar_engine.integrations.chat_formats.qwen_xml import QwenXml

_FORMATS: tuple[type[ChatFormat], ...] = (
    Hermes, QwenXml, Llama3, Mistral, Mistral11, DeepSeekV3, DeepSeekV31, Harmony,
)  # fmt: skip
NAMES = tuple(one.name for one in _FORMATS)

# What a template must hold, most telling first.
_MARKS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("<|channel|>", "<|message|>"), "harmony"),
    (("<｜tool▁calls▁begin｜>", "```json"), "deepseek_v3"),
    (("<｜tool▁calls▁begin｜>",), "deepseek_v3_1"),
    (("[TOOL_CALLS]", "[ARGS]"), "mistral11"),
    (("[TOOL_CALLS]",), "mistral"),
    (("<tool_call>", "<function="), "qwen_xml"),
    (("<tool_call>",), "hermes"),
    (("<|python_tag|>", '"parameters": '), "llama3"),
)


def chat_format(name: str) -> ChatFormat:
    """The format of a name. Raises InvalidArgumentError if there is none."""
    for one in _FORMATS:
        if one.name == name:
            return one()
    raise InvalidArgumentError(
        f"no chat format is named {name!r}; there are {', '.join(NAMES)}", argument="chat_format"
    )


def format_of_template(template: str) -> str | None:
    """The name of the format in which a chat template (Jinja source) writes tool calls; None if it shows none."""
    for marks, name in _MARKS:
        if all(mark in template for mark in marks):
            return name
    return None
