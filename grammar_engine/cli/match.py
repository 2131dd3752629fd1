"""``grammar-engine match``: is each text in the language? If not, where it leaves it and what could stand there."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from grammar_engine.cli.output import NO, YES, BrokenQuestionError, Format, emit_json, emit_line, reporting
from grammar_engine.cli.source import (
    GrammarArgument,
    Question,
    StartOption,
    TokenizerOption,
    byte_vocabulary,
    question,
    readable,
    vocabulary_for,
)

if TYPE_CHECKING:
    from grammar_engine.inspection.outlook import Outlook
    from grammar_engine.matcher import Matcher


_WIDTH = 100


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether a text matches; if not, the place (line and column from 1, in characters) and what was possible there.

    expected: characters and byte values that may follow; ["end of text"] where nothing may.
    terminals: names of terminals that may begin there; begun: of those that have begun and may go on.
    rules: what the place is inside of, the outermost first: rules of a grammar, the JSON pointer of a schema's text.
    token: the model's token that was masked, if a tokenizer was given.
    """

    name: str
    matches: bool
    line: int = 0
    column: int = 0
    offset: int = 0
    shown: str = ""
    expected: tuple[str, ...] = ()
    terminals: tuple[str, ...] = ()
    begun: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    token: str | None = None

    def as_json(self) -> dict[str, Any]:
        """As data."""
        if self.matches:
            return {"name": self.name, "matches": True}
        place = {"line": self.line, "column": self.column, "offset": self.offset}
        names = {"terminals": list(self.terminals), "begun": list(self.begun), "rules": list(self.rules)}
        expected = {"expected": list(self.expected), **names}
        return {"name": self.name, "matches": False, **place, **expected, "token": self.token}

    def as_text(self) -> str:
        """As people read it: the line with a caret under the place."""
        if self.matches:
            return f"{self.name}: yes"
        lines = [
            f"{self.name}: no, at line {self.line}, column {self.column}",
            *_caret(self.shown, self.column),
            f"  expected: {', '.join(self.expected)}",
        ]
        if self.terminals:
            lines.append(f"  terminals: {', '.join(self.terminals)}")
        if self.begun:
            lines.append(f"  begun: {', '.join(self.begun)}")
        if self.rules:
            lines.append(f"  inside of: {' > '.join(self.rules)}")
        if self.token is not None:
            lines.append(f"  masked token: {self.token}")
        return "\n".join(lines)


def match(
    grammar: GrammarArgument = None,
    files: Annotated[list[Path] | None, typer.Argument(metavar="FILE…", help="Texts; - for stdin.")] = None,
    regex: Annotated[
        str | None, typer.Option("--regex", help="A regular expression; then every argument is a FILE.")
    ] = None,
    start: StartOption = None,
    text: Annotated[list[str] | None, typer.Option("--text", help="A text itself; may be repeated.")] = None,
    tokenizer: TokenizerOption = None,
    output: Annotated[Format, typer.Option("--format", help="What stdout carries.")] = Format.TEXT,
) -> None:
    """Is each text in the language, byte for byte? Exit code 0: all are; 1: some are not; 2: a broken question."""
    from grammar_engine.compiler.compiled import GrammarCompiler
    from grammar_engine.inspection.outlook import Outlook
    from grammar_engine.matcher import Matcher

    paths = list(files or [])
    if regex is not None and grammar is not None:
        paths.insert(0, Path(grammar))
        grammar = None
    with reporting(output):
        asked = question(grammar, regex, start)
        compiled = asked.compile(GrammarCompiler(byte_vocabulary()))
        texts = [(str(path), _read(path)) for path in paths]
        texts += [(repr(given), given.encode()) for given in text or []]
        if not texts:
            raise BrokenQuestionError("no text: give FILE or --text")
        masked = _masked_token(asked, tokenizer)
        outlook = Outlook(compiled, asked.wanted.grammar, start=asked.first_rule)
        verdicts = [judge(Matcher(compiled), name, data, masked, outlook) for name, data in texts]
    if output is Format.JSON:
        emit_json({"ok": all(verdict.matches for verdict in verdicts), "texts": [v.as_json() for v in verdicts]})
    else:
        for verdict in verdicts:
            emit_line(verdict.as_text())
    raise typer.Exit(YES if all(verdict.matches for verdict in verdicts) else NO)


def judge(matcher: Matcher, name: str, data: bytes, masked: Callable[[str], str | None], outlook: Outlook) -> Verdict:
    """Follow one text. ``matcher``: fresh, over a vocabulary of bytes. ``masked``: text → the token that stops it."""
    consumed = 0
    for line in data.splitlines(keepends=True):
        if matcher.accept_bytes(line):
            consumed += len(line)
            continue
        for value in line:
            if not matcher.accept_bytes(bytes([value])):
                break
            consumed += 1
        break
    if consumed == len(data) and matcher.is_accepting():
        return Verdict(name=name, matches=True)
    terminals, begun = outlook.expected(matcher.engine_position)
    rules = outlook.place(matcher.engine_position, data[:consumed])
    before = data[:consumed].decode("utf-8", "replace")
    start = before.rfind("\n") + 1
    rest = data[consumed:].decode("utf-8", "replace").split("\n", 1)[0]
    return Verdict(
        name=name,
        matches=False,
        line=before.count("\n") + 1,
        column=len(before) - start + 1,
        offset=consumed,
        shown=before[start:] + rest,
        expected=expected_bytes(matcher),
        terminals=terminals,
        begun=begun,
        rules=rules,
        token=masked(data.decode("utf-8", "replace")),
    )


def _caret(shown: str, column: int) -> tuple[str, str]:
    """A line, or what fits around the column of one that is long, and a caret under the column."""
    first = max(0, min(column - 1 - _WIDTH // 2, len(shown) - _WIDTH))
    ahead, behind = "… " if first else "", " …" if first + _WIDTH < len(shown) else ""
    under = "".join("\t" if char == "\t" else " " for char in ahead + shown[first : column - 1])
    return f"  {ahead}{shown[first : first + _WIDTH]}{behind}", f"  {under}^"


def expected_bytes(matcher: Matcher) -> tuple[str, ...]:
    """What may follow, runs of neighbours folded: ``'0'-'9'``."""
    values = [token_id for token_id in matcher.allowed_token_ids().tolist() if token_id < 256]
    runs: list[list[int]] = []
    for value in values:
        if runs and value == runs[-1][1] + 1:
            runs[-1][1] = value
        else:
            runs.append([value, value])
    names = [_byte_name(low) if low == high else f"{_byte_name(low)}-{_byte_name(high)}" for low, high in runs]
    return (*names, "end of text") if matcher.is_accepting() or not names else tuple(names)


def _byte_name(value: int) -> str:
    return repr(chr(value)) if value < 0x80 else f"byte {value:#x}"


def _masked_token(asked: Question, tokenizer: str | None) -> Callable[[str], str | None]:
    if tokenizer is None:
        return lambda _text: None
    from grammar_engine.compiler.compiled import GrammarCompiler
    from grammar_engine.matcher import Matcher

    vocabulary, encode = vocabulary_for(tokenizer)
    compiled = asked.compile(GrammarCompiler(vocabulary))

    def masked(text: str) -> str | None:
        token_ids = encode(text)
        count = Matcher(compiled).validate_tokens(token_ids)
        if count == len(token_ids):
            return None
        token_id = token_ids[count]
        return f"{token_id} {vocabulary.tokens[token_id]!r}, number {count + 1} of the text"

    return masked


def _read(path: Path) -> bytes:
    return sys.stdin.buffer.read() if str(path) == "-" else readable(path)
