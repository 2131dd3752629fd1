"""A Lark grammar as a plain one: Lark's loader writes the rules out, but forgets where they stood."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence

from grammar_engine.compiler.frontends.lark_loading import LoadedGrammar
from grammar_engine.compiler.ir import Production
from grammar_engine.compiler.lint.findings import Finding, Kind
from grammar_engine.compiler.lint.plain import Place, PlainGrammar
from lark.grammar import NonTerminal
from lark.lexer import TerminalDef

_HEAD = re.compile(
    r"^[ \t]*(?:%(?:override|extend)[ \t]+)?([?!]{0,2}(_*[A-Za-z]\w*))"
    r"[ \t]*(?:\{[^}\n]*\})?[ \t]*(?:\.[ \t]*-?\d+)?[ \t]*:",
    re.MULTILINE,
)
_NO_CODE = re.compile(
    r'//[^\n]*|(?m:^[ \t]*#[^\n]*)|"(?:\\.|[^"\\\n])*"i?|/(?![/*])(?:\\.|[^/\\\n])+/[a-z]*'
)  # comments, strings, regular expressions
_IMPORT = re.compile(r"^[ \t]*%import[ \t]+([^\n]*)", re.MULTILINE)
_DECLARE = re.compile(r"^[ \t]*%declare[ \t]+([^\n]*)", re.MULTILINE)


def plain_lark(loaded: LoadedGrammar) -> PlainGrammar:
    """The rules of a grammar that ``load_unused`` or ``load`` gave, the start first."""
    number: dict[str, int] = {loaded.start: 0}
    for rule in loaded.rules:
        number.setdefault(rule.origin.name, len(number))
    spelled = {terminal.name: terminal_label(loaded, terminal) for terminal in loaded.terminals}
    terminals: dict[str, int] = {terminal.name: index for index, terminal in enumerate(loaded.terminals)}
    rules: list[dict[Production, None]] = [{} for _ in number]
    for rule in loaded.rules:
        symbols = tuple(
            ~number[symbol.name]
            if isinstance(symbol, NonTerminal)
            else terminals.setdefault(symbol.name, len(terminals))
            for symbol in rule.expansion
        )
        rules[number[rule.origin.name]][symbols] = None
    names = list(number)
    owners = [_owner(name, number) for name in names]
    return PlainGrammar(
        names=names,
        rules=[tuple(alternatives) for alternatives in rules],
        owners=owners,
        terminals=[spelled.get(name, name) for name in terminals],
        start=0,
        written=frozenset(index for index, name in enumerate(names) if owners[index] == name),
        places=places_of(loaded.source),
    )


def places_of(source: str) -> dict[str, Place]:
    """Where each rule and terminal is first defined."""
    found: dict[str, Place] = {}
    for head in _HEAD.finditer(source):
        begin = head.start(1)
        found.setdefault(head[2], (source.count("\n", 0, begin) + 1, begin - source.rfind("\n", 0, begin)))
    for line in _IMPORT.finditer(source):
        for name in re.finditer(r"\w+", line[1]):
            begin = line.start(1) + name.start()
            found.setdefault(name[0], (source.count("\n", 0, begin) + 1, begin - source.rfind("\n", 0, begin)))
    return found


def terminal_label(loaded: LoadedGrammar, terminal: TerminalDef) -> str:
    """What a terminal is called in the source: its name if it has one there, else its spelling."""
    raw = terminal.pattern.raw
    if raw and not re.search(rf"(?<!\w){re.escape(terminal.name)}(?!\w)", loaded.source):
        return str(raw)
    return terminal.name


def _owner(name: str, known: Collection[str]) -> str:
    """The rule as written: helpers of a rule r are called __r_star_0 and the like, templates t{x,y}."""
    if name.startswith("__"):
        parts = name[2:].split("_")
        for size in range(len(parts) - 2, 0, -1):
            candidate = "_".join(parts[:size])
            if candidate in known:
                return _owner(candidate, known)
    return name.split("{", maxsplit=1)[0]


def unused_terminals(loaded: LoadedGrammar, kept: Sequence[str]) -> Iterator[Finding]:
    """Terminals that are defined or imported, and named nowhere else; kept: those that a postlexer needs."""
    used = {symbol.name for rule in loaded.rules for symbol in rule.expansion} | set(loaded.ignore) | set(kept)
    places = places_of(loaded.source)
    code = _NO_CODE.sub(" ", loaded.source)
    declared = {name for line in _DECLARE.finditer(code) for name in line[1].split()}
    for terminal in loaded.terminals:
        name = terminal.name
        if name in used or name in declared or name not in places:
            continue
        if len(re.findall(rf"(?<!\w){name}(?!\w)", code)) == 1:
            line, column = places[name]
            message = f"terminal {name} is never used"
            yield Finding(kind=Kind.UNUSED_TERMINAL, subject=name, message=message, line=line, column=column)
