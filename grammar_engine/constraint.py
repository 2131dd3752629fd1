"""The language of an answer: exactly one of schema, regex, grammar, choices, structural tag and tools."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from grammar_engine.errors import InvalidArgumentError
from grammar_engine.integrations.openai import ChatConstraint, constraint_for

if TYPE_CHECKING:
    from grammar_engine.compiler.compiled import CompiledGrammar, GrammarCompiler

Tools = Sequence[Mapping[str, Any]] | ChatConstraint
_CONSTRAINTS = ("schema", "regex", "grammar", "choices", "structural_tag", "tools")


@dataclass(frozen=True, kw_only=True)
class Constraint:
    """The language of the answer: exactly one field is given."""

    schema: Any = None
    regex: str | None = None
    grammar: str | os.PathLike[str] | None = None
    choices: Sequence[str] | None = None
    structural_tag: Mapping[str, Any] | str | None = None
    tools: Tools | None = None

    def __post_init__(self) -> None:
        """Refuse none and several."""
        given = [name for name in _CONSTRAINTS if getattr(self, name) is not None]
        if not given:
            known = ", ".join(_CONSTRAINTS)
            raise InvalidArgumentError(f"a constraint is needed: give one of {known}", argument="schema")
        if len(given) > 1:
            raise InvalidArgumentError(f"one constraint at a time, not {' and '.join(given)}", argument=given[1])

    @property
    def shown_tools(self) -> Sequence[Mapping[str, Any]] | None:
        """The tools that the chat template shows."""
        return self.tools.tools if isinstance(self.tools, ChatConstraint) else self.tools

    def compile(
        self, compiler: GrammarCompiler, tokenizer: object = None
    ) -> tuple[CompiledGrammar, Callable[[str], Any]]:
        """The compiled grammar, and the function from a complete text to its value. tokenizer: whose chat template says
        how tools are called.
        """
        if self.tools is not None:
            constraint = constraint_for(self.tools, tokenizer)
            return constraint.compile(compiler), constraint.read
        if self.structural_tag is not None:
            return compiler.compile_structural_tag(_checked(self.structural_tag, (Mapping, str), "structural_tag")), str
        if self.schema is not None:
            from grammar_engine.types import schema_of

            json_schema, validate = schema_of(self.schema)
            return compiler.compile_json_schema(json_schema), validate
        if self.regex is not None:
            return compiler.compile_regex(_checked(self.regex, str, "regex")), str
        if self.choices is not None:
            choices = list(_checked(self.choices, (list, tuple), "choices"))
            return compiler.compile_choices([_checked(choice, str, "choices") for choice in choices]), str
        grammar = _checked(self.grammar, (str, os.PathLike), "grammar")
        from grammar_engine.compiler.frontends.gbnf.grammar import is_gbnf

        return compiler.compile_gbnf(grammar) if is_gbnf(grammar) else compiler.compile_lark(grammar), str


def _checked(value: Any, kind: type | tuple[type, ...], argument: str) -> Any:
    if not isinstance(value, kind):
        kinds = kind if isinstance(kind, tuple) else (kind,)
        names = " or ".join(k.__name__ for k in kinds)
        raise InvalidArgumentError(f"expected {names}, not {type(value).__name__}", argument=argument)
    return value
