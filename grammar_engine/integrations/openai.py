"""OpenAI's ``tools``, ``tool_choice``, ``parallel_tool_calls`` and ``response_format`` → grammar, and texts back.

    constraint = chat_constraint(tools=[…], tool_choice="auto", chat_format="hermes")
    compiled = constraint.compile(compiler)                 # every text of it is a message that can be read back
    message = constraint.read(compiled.text_of(token_ids))  # content, tool_calls; message.as_dict() is OpenAI's shape

See docs/tools.md for what is enforced, format by format.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from grammar_engine.errors import (
    InvalidArgumentError,
    InvalidSchemaError,
    UnsatisfiableGrammarError,
    UnsupportedGrammarError,
    UnsupportedSchemaError,
)
from grammar_engine.integrations.chat_formats.base import REASONING, ChatFormat, ChatMessage, ToolCall
from grammar_engine.integrations.chat_formats.registry import NAMES, chat_format, format_of_template
from grammar_engine.integrations.openai_request import Answer, read_request

if TYPE_CHECKING:
    from grammar_engine.compiler.compiled import CompiledGrammar, GrammarCompiler

__all__ = [
    "NAMES",
    "ChatConstraint",
    "ChatMessage",
    "ToolCall",
    "chat_constraint",
    "constraint_for",
    "format_of_template",
]


@dataclass(frozen=True, kw_only=True)
class ChatConstraint:
    """What a request asks of an assistant's message. Build it with ``chat_constraint``.

    tools: as given. structural_tag: the message's texts (docs/structural_tags.md), JSON data. chat_format: the format's
    name.
    """

    tools: Sequence[Mapping[str, Any]] | None
    structural_tag: Mapping[str, Any]
    chat_format: str
    reasoning: str
    _answer: Answer
    _format: ChatFormat

    def compile(self, compiler: GrammarCompiler, **options: Any) -> CompiledGrammar:
        """The grammar of the messages; options are those of ``compile_structural_tag``.

        Raises what that raises, with pointers into the request: ``/tools/0/function/parameters/properties/x``.
        """
        try:
            return compiler.compile_structural_tag(self.structural_tag, **options)
        except InvalidSchemaError as error:
            raise InvalidSchemaError(error.reason, pointer=self._place(error.pointer)) from error
        except UnsupportedSchemaError as error:
            place = self._place(error.pointer)
            raise UnsupportedSchemaError(error.keyword, pointer=place, advice=error.advice) from error
        except UnsupportedGrammarError as error:
            raise UnsupportedGrammarError(
                error.construct, place=self._place(error.place), advice=error.advice
            ) from error
        except UnsatisfiableGrammarError as error:
            before, at, pointer = error.place.rpartition(" at ")
            place = before + at + self._place(pointer) if at else self._place(error.place)
            raise UnsatisfiableGrammarError(error.why, place=place) from error

    def read(self, text: str) -> ChatMessage:
        """The message that a text of the grammar spells, special tokens by their names.

        Raises InvalidArgumentError for a text that is not complete, or of another format.
        """
        if self._answer.structural_tag is not None:
            return ChatMessage(content=text)
        return self._format.read(text, self._answer, self.reasoning)

    def _place(self, pointer: str) -> str:
        """A place in the structural tag as one in the request."""
        answer = self._answer
        if answer.structural_tag is not None:
            return answer.schema_pointer + pointer
        schemas = {id(tool.parameters): tool.pointer for tool in answer.tools}
        schemas[id(answer.schema)] = answer.schema_pointer
        best = ""
        found = pointer
        for where, schema in _schemas(self.structural_tag, ""):
            if pointer.startswith(where) and len(where) > len(best) and id(schema) in schemas:
                best = where
                found = schemas[id(schema)] + pointer[len(where) :]
        return found


def chat_constraint(
    *,
    tools: Sequence[Mapping[str, Any]] | None = None,
    tool_choice: str | Mapping[str, Any] | None = None,
    parallel_tool_calls: bool | None = None,
    response_format: Mapping[str, Any] | None = None,
    chat_format: str = "hermes",
    reasoning: str | None = None,
) -> ChatConstraint:
    """What the fields of a chat request ask of the answer (None: the field is absent).

    Args:
        tools: functions, as in OpenAI's Chat Completions. ``"strict": false`` leaves their arguments any object.
        tool_choice: "none", "auto" (default with tools), "required", a named function, or allowed_tools.
        parallel_tool_calls: False: at most one call.
        response_format: text, json_object, json_schema or structural_tag. With tools and "auto": JSON or calls.
        chat_format: how the model writes calls, one of ``NAMES`` (``format_of_template`` tells it).
        reasoning: "none", "optional", "required", or "open" where the prompt has begun it; default: "none", but
            "optional" for harmony.

    Raises:
        InvalidArgumentError: a field that is malformed or contradicts another; ``argument`` is a JSON pointer.
        InvalidSchemaError: a schema that is none.
    """
    answer = read_request(tools, tool_choice, parallel_tool_calls, response_format)
    found = _chat_format(chat_format)
    reasoning = found.default_reasoning if reasoning is None else reasoning
    if reasoning not in REASONING:
        raise InvalidArgumentError(f"one of {', '.join(REASONING)}, not {reasoning!r}", argument="reasoning")
    tag = found.tag(answer, reasoning) if answer.structural_tag is None else answer.structural_tag
    return ChatConstraint(
        tools=tools, structural_tag=tag, chat_format=found.name, reasoning=reasoning, _answer=answer, _format=found
    )


def constraint_for(tools: Sequence[Mapping[str, Any]] | ChatConstraint, tokenizer: object) -> ChatConstraint:
    """The constraint for an answer that may call tools, in the format that a tokenizer's chat template writes.

    Raises InvalidArgumentError if the template shows none: then give a ``ChatConstraint``.
    """
    if isinstance(tools, ChatConstraint):
        return tools
    template = getattr(tokenizer, "chat_template", None)
    templates = template.values() if isinstance(template, Mapping) else [template or ""]
    for source in templates:
        name = format_of_template(source)
        if name is not None:
            return chat_constraint(tools=tools, chat_format=name)
    raise InvalidArgumentError(
        "the model's chat template does not say how to call tools; give "
        f"chat_constraint(tools=…, chat_format=…) with one of {', '.join(NAMES)}",
        argument="tools",
    )


_chat_format = chat_format


def _schemas(tag: Any, pointer: str) -> list[tuple[str, Any]]:
    """The schemas in a structural tag, and where they are."""
    if isinstance(tag, Mapping):
        out = []
        for key, value in tag.items():
            if key == "json_schema":
                out.append((f"{pointer}/{key}", value))
            else:
                out += _schemas(value, f"{pointer}/{key}")
        return out
    if isinstance(tag, list):
        return [found for i, value in enumerate(tag) for found in _schemas(value, f"{pointer}/{i}")]
    return []
