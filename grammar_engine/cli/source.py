"""GRAMMAR on the command line: a file, a shipped name or a regex, and the vocabulary to compile it for."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from grammar_engine.cli.output import BrokenQuestionError
from grammar_engine.grammars import shipped_names

if TYPE_CHECKING:
    from grammar_engine.compiler.compiled import CompiledGrammar, GrammarCompiler
    from grammar_engine.compiler.vocabulary import Vocabulary
    from grammar_engine.constraint import Constraint

GrammarArgument = Annotated[
    str | None,
    typer.Argument(metavar="GRAMMAR", help="A .json schema, a .lark or .gbnf file, or the name of a shipped grammar."),
]
RegexOption = Annotated[str | None, typer.Option("--regex", help="A regular expression instead of GRAMMAR.")]
TokenizerOption = Annotated[
    str | None,
    typer.Option("--tokenizer", help="A tokenizer.json or a model's folder; default: every byte is a token."),
]

StartOption = Annotated[
    str | None, typer.Option("--start", help="The rule to start from; default: start, or root in GBNF.")
]

_GZIP = b"\x1f\x8b"
_SUFFIXES = (".json", ".lark", ".gbnf", ".ebnf")


def constraint(grammar: str | None, regex: str | None, choices: list[str] | None = None) -> Constraint:
    """The one constraint that was named.

    Raises:
        BrokenQuestionError: none or several, or neither a file of a known kind nor a shipped name.
    """
    from grammar_engine.constraint import Constraint

    given = [name for name, value in (("GRAMMAR", grammar), ("--regex", regex), ("--choice", choices)) if value]
    if len(given) != 1:
        wanted = "give a GRAMMAR, --regex or --choice" if not given else f"one at a time, not {' and '.join(given)}"
        raise BrokenQuestionError(wanted)
    if regex is not None:
        return Constraint(regex=regex)
    if choices:
        return Constraint(choices=choices)
    name = grammar or ""
    shipped = sorted({*shipped_names(), *shipped_names(".gbnf")})
    if name in shipped:
        return Constraint(grammar=name)
    if Path(name).suffix not in _SUFFIXES:
        raise BrokenQuestionError(
            f"{name!r} is neither a {', '.join(_SUFFIXES)} file nor a shipped grammar ({', '.join(shipped)})"
        )
    readable(Path(name))
    return Constraint(schema=Path(name)) if name.endswith(".json") else Constraint(grammar=Path(name))


@dataclass(frozen=True, kw_only=True)
class Question:
    """A grammar that was named, and how it is to be compiled."""

    wanted: Constraint
    start: str | None = None

    @property
    def is_gbnf(self) -> bool:
        """Is it GBNF?"""
        from grammar_engine.compiler.frontends.gbnf.grammar import is_gbnf

        return self.wanted.grammar is not None and is_gbnf(self.wanted.grammar)

    @property
    def is_lark(self) -> bool:
        """Is it a Lark grammar?"""
        return self.wanted.grammar is not None and not self.is_gbnf

    @property
    def first_rule(self) -> str:
        """The name of the rule to start from."""
        return self.start or ("root" if self.is_gbnf else "start")

    def compile(self, compiler: GrammarCompiler) -> CompiledGrammar:
        """Compile it."""
        if self.wanted.grammar is not None and self.start is not None:
            if self.is_gbnf:
                return compiler.compile_gbnf(self.wanted.grammar, root=self.start)
            return compiler.compile_lark(self.wanted.grammar, start=self.start)
        return self.wanted.compile(compiler)[0]


def question(grammar: str | None, regex: str | None, start: str | None = None) -> Question:
    """The one grammar that was named; BrokenQuestionError as for ``constraint``."""
    wanted = constraint(grammar, regex)
    if start is not None and wanted.grammar is None:
        raise BrokenQuestionError("--start names a rule; only .lark and .gbnf grammars have rules")
    return Question(wanted=wanted, start=start)


def readable(path: Path) -> bytes:
    """The bytes of a file.

    Raises:
        BrokenQuestionError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise BrokenQuestionError(f"cannot read {path}: {error.strerror}") from error


def byte_vocabulary() -> Vocabulary:
    """256 tokens of one byte, and a stop token."""
    from grammar_engine.compiler.vocabulary import Vocabulary

    return Vocabulary([bytes([value]) for value in range(256)] + [None], stop_token_ids=[256])


def vocabulary_for(tokenizer: str | None) -> tuple[Vocabulary, Callable[[str], list[int]]]:
    """A vocabulary, and how text becomes its token ids."""
    from grammar_engine.compiler.vocabulary import Vocabulary
    from grammar_engine.errors import MissingDependencyError

    if tokenizer is None:
        return byte_vocabulary(), lambda text: list(text.encode())
    vocabulary = Vocabulary.from_huggingface(tokenizer)
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise MissingDependencyError("tokenizers", extra="hf") from error
    path = Path(tokenizer)
    data = readable(path / "tokenizer.json" if path.is_dir() else path)
    reader = Tokenizer.from_str((gzip.decompress(data) if data.startswith(_GZIP) else data).decode())
    return vocabulary, lambda text: list(reader.encode(text, add_special_tokens=False).ids)
