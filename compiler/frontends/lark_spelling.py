"""Mistakes of spelling in a Lark grammar: what stands there, what was expected, and what is probably meant."""

from __future__ import annotations

import re

from lark.exceptions import UnexpectedCharacters, UnexpectedInput, UnexpectedToken

# Lark's names of what a grammar is written with, in words; several may share some.
_WORDS = {
    "RULE": "a name", "TERMINAL": "a name", "STRING": "a string", "REGEXP": "a regular expression",
    "_LPAR": '"("', "_RPAR": '")"', "_LBRA": '"["', "_RBRA": '"]"', "_LBRACE": '"{"', "_RBRACE": '"}"', "_DOT": '"."',
    "_DOTDOT": '".."',
    "OP": 'an operator ("?", "*" or "+")', "_COLON": '":"', "_COMMA": '","', "_OR": '"|"', "_NL_OR": '"|"',
    "TILDE": '"~"',
    "RULE_MODIFIERS": "a name", "_NL": "the end of the line", "_TO": '"->"', "NUMBER": "a number",
    "_IGNORE": "a directive", "_IMPORT": "a directive", "_DECLARE": "a directive", "_OVERRIDE": "a directive",
    "_EXTEND": "a directive", "$END": "the end of the grammar",
}  # fmt: skip
_LEXEMES = re.compile(
    r'"(?:\\"|\\\\|[^"\n])*?"i?|/(?!/)(?:\\/|\\\\|[^/])*?/[imslux]*|//[^\n]*|#[^\n]*|(?P<open>[(\[{])|(?P<close>[)\]}])'
)
_CHARACTERS = {
    '"': "a string that does not end on its line",
    "/": 'a regular expression without its closing "/"',
    "'": 'strings stand between double quotes: "…"',
    "=": "a definition is written with a colon: name: …",
    ";": 'a definition ends with its line, without ";"',
    "<": "names stand without angle brackets",
    "-": 'a minus stands only before a number; an alias is written "->"',
}
_DIRECTIVES = "%import, %ignore, %declare, %override, %extend"


def mistake_of(error: UnexpectedInput, text: str) -> tuple[str, int]:
    """What is wrong, and the offset where."""
    offset = min(max(error.pos_in_stream or 0, 0), len(text))
    if isinstance(error, UnexpectedCharacters):
        character = text[offset : offset + 1]
        word = re.match(r"%\w*", text[offset:])
        if word:
            return f"unknown directive {word[0]}: there are {_DIRECTIVES}", offset
        message = _CHARACTERS.get(character, f"unexpected character {character!r}")
        return message, offset
    if not isinstance(error, UnexpectedToken):
        return "unexpected end of the grammar", len(text)
    token = error.token
    before = re.search(r"\w+$", text[:offset])
    if token.type == "TERMINAL" and (error.accepts or error.expected) <= {"RULE"}:
        return "the name of a rule (or of an alias) is expected here, and those are all in lower case", offset
    if token.type in ("RULE", "TERMINAL") and before:
        name = before[0] + str(token)
        message = f"the name {name!r}: names of rules are all in lower case, names of terminals all in upper case"
        return message, before.start()
    what = {"_NL": "end of the line", "_NL_OR": "end of the line", "$END": "end of the grammar"}.get(
        token.type, repr(str(token))
    )
    message = f"unexpected {what}; expected {_in_words(error.accepts or error.expected)}"
    if token.type == "_COLON" and text.startswith("::=", offset - 1):
        message = "a definition is written with one colon: name: …"
    opened = _open_bracket(text, offset)
    if opened is not None:
        line, column = text.count("\n", 0, opened) + 1, opened - text.rfind("\n", 0, opened)
        message += f'; the "{text[opened]}" of line {line}, column {column} is not closed yet'
    return message, offset


def _in_words(names: set[str]) -> str:
    """What was expected, as a list."""
    words = sorted({_WORDS.get(name, name) for name in names}, key=lambda word: (not word.startswith("a"), word))
    if len(words) < 2:
        return "".join(words) or "nothing"
    return ", ".join(words[:-1]) + " or " + words[-1]


def _open_bracket(text: str, end: int) -> int | None:
    """The innermost bracket that is open there."""
    opened: list[int] = []
    for found in _LEXEMES.finditer(text, 0, end):
        if found["open"]:
            opened.append(found.start())
        elif found["close"] and opened:
            opened.pop()
    return opened[-1] if opened else None
