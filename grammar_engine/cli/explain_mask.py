"""``grammar-engine explain-mask``: which tokens may follow a beginning of a text, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from grammar_engine.cli.match import expected_bytes
from grammar_engine.cli.output import NO, YES, BrokenQuestionError, Format, emit_json, emit_line, reporting
from grammar_engine.cli.source import (
    GrammarArgument,
    RegexOption,
    StartOption,
    TokenizerOption,
    byte_vocabulary,
    question,
    vocabulary_for,
)

if TYPE_CHECKING:
    from grammar_engine.compiler.vocabulary import Vocabulary

_SHOWN = 20


def explain_mask(
    grammar: GrammarArgument = None,
    regex: RegexOption = None,
    start: StartOption = None,
    prefix: Annotated[str, typer.Option("--prefix", help="The text so far.")] = "",
    token: Annotated[
        list[str] | None, typer.Option("--token", help="A text to follow: how much of it may; may be repeated.")
    ] = None,
    tokenizer: TokenizerOption = None,
    output: Annotated[Format, typer.Option("--format", help="What stdout carries.")] = Format.TEXT,
) -> None:
    """Show the mask behind a beginning of a text: how many tokens, which, what they begin, inside of which rules.

    Exit code 0: texts begin so; 1: none does; 2: a broken question.
    """
    from grammar_engine.compiler.compiled import GrammarCompiler
    from grammar_engine.inspection.outlook import Outlook
    from grammar_engine.matcher import Matcher

    with reporting(output):
        asked = question(grammar, regex, start)
        vocabulary, _ = vocabulary_for(tokenizer)
        compiled = asked.compile(GrammarCompiler(vocabulary))
        matcher = Matcher(compiled)
        if not matcher.accept_bytes(prefix.encode()):
            if output is Format.JSON:
                emit_json({"ok": False, "prefix": prefix})
            else:
                emit_line(f"no text begins with {prefix!r}; match says where it goes wrong")
            raise typer.Exit(NO)
        outlook = Outlook(compiled, asked.wanted.grammar, start=asked.first_rule)
        allowed = matcher.allowed_token_ids().tolist()
        begins, begun = outlook.expected(matcher.engine_position)
        bytes_matcher = Matcher(asked.compile(GrammarCompiler(byte_vocabulary())))
        if not bytes_matcher.accept_bytes(prefix.encode()):
            raise BrokenQuestionError("the beginning is no text in UTF-8")
        answer = {
            "ok": True,
            "prefix": prefix,
            "allowed": len(allowed),
            "of": vocabulary.size,
            "complete": matcher.is_accepting(),
            "forced": matcher.jump_forward_bytes().decode("utf-8", "replace"),
            "expected": list(expected_bytes(bytes_matcher)),
            "terminals": list(begins),
            "begun": list(begun),
            "rules": list(outlook.place(matcher.engine_position, prefix.encode())),
            "tokens": [_named(vocabulary, token_id) for token_id in _spread(allowed)],
            "asked": [{"text": text, "fits": _fitting(matcher, text)} for text in token or []],
        }
    if output is Format.JSON:
        emit_json(answer)
        raise typer.Exit(YES)
    complete = "; the text may end here" if answer["complete"] else ""
    emit_line(f"{answer['allowed']} of {answer['of']} tokens may follow {prefix!r}{complete}")
    for title in ("expected", "terminals", "begun"):
        if answer[title]:
            emit_line(f"  {title}: {', '.join(answer[title])}")  # type: ignore[arg-type]
    if answer["rules"]:
        emit_line(f"  inside of: {' > '.join(answer['rules'])}")  # type: ignore[arg-type]
    if answer["forced"]:
        emit_line(f"  forced: {answer['forced']!r}")
    emit_line(f"  tokens: {', '.join(_named(vocabulary, token_id) for token_id in _spread(allowed))}")
    for text in token or []:
        fits = _fitting(matcher, text)
        emit_line(f"  {text!r}: {'allowed' if fits == len(text) else f'only {text[:fits]!r} of it'}")
    raise typer.Exit(YES)


def _spread(token_ids: list[int]) -> list[int]:
    """A few of many, from all over."""
    step = max(1, len(token_ids) // _SHOWN)
    return token_ids[::step][:_SHOWN]


def _named(vocabulary: Vocabulary, token_id: int) -> str:
    token = vocabulary.tokens[token_id]
    return f"{token_id} (stop)" if token is None else f"{token_id} {token.decode('utf-8', 'replace')!r}"


def _fitting(matcher: object, text: str) -> int:
    """How many characters of a text may follow."""
    from grammar_engine.matcher import Matcher

    assert isinstance(matcher, Matcher)
    trial = matcher.fork()
    for count, char in enumerate(text):
        if not trial.accept_bytes(char.encode()):
            return count
    return len(text)
