"""Lark's terminals as ``ir.Terminal``s, in the order in which Lark's lexer tries them.

The order is (-priority, -max_width, -length of the pattern, name), as in ``lark.lexer.BasicLexer``; ids follow it, so
that "lowest id first" is Lark's alternation.

**Keywords** (``lark.lexer._create_unless``). A string literal that a regex terminal of equal priority matches whole is
a keyword of that regex: where the regex's match is exactly the literal's text, the literal wins. Where its flags are
among the regex's flags, the literal also leaves the alternation (an *embedded* keyword), otherwise it stays in at its
own rank. ``ir.Terminal.unless`` means the embedded kind. The other kind (``"if"i`` beside ``/[a-z]+/``) is written as
two terminals, one for the alternation and one that wins on a full match, both of which the rules allow.

**Reserved words** (``lark_reserved``) are set aside from a regex by a look-ahead. A literal that is one of them
does not match the regex, but where both are expected and the regex stands first, Lark finds the literal after the
regex has failed: that is an embedded keyword too.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from grammar_engine.compiler.automaton import ByteAutomaton
from grammar_engine.compiler.char_automaton import CharAutomaton
from grammar_engine.compiler.conditions import open_automaton
from grammar_engine.compiler.errors import GrammarSyntaxError, UnsupportedGrammarError
from grammar_engine.compiler.frontends.lark_behind import automaton_behind, classes_of
from grammar_engine.compiler.frontends.lark_loading import LoadedGrammar
from grammar_engine.compiler.frontends.lark_patterns import Patterns
from grammar_engine.compiler.frontends.lark_reserved import Reserving, reserving
from grammar_engine.compiler.ir import Terminal
from grammar_engine.compiler.last_character import Classes
from grammar_engine.compiler.regex_ast import Chars, Node, alt, seq
from grammar_engine.compiler.spelling import to_utf8
from lark.lexer import PatternStr, TerminalDef


@dataclass(frozen=True, kw_only=True)
class TerminalTable:
    """terminals: in lexing order. ids: per Lark name the terminals that stand for it (two for a split keyword).

    ignored: ids of %ignore'd terminals. lost: ids that the lexer can never hand to the parser, because what they
    spell is ignored first (with an ordered lexer only).
    """

    terminals: tuple[Terminal, ...]
    ids: dict[str, tuple[int, ...]]
    ignored: tuple[int, ...]
    lost: frozenset[int] = frozenset()
    behind: Classes = ()


def unordered_table(loaded: LoadedGrammar, patterns: Patterns) -> TerminalTable:
    """The terminals of a grammar whose lexer has no order (Lark's dynamic lexers): no keyword rule, no priorities.

    A terminal that is both ignored and used in rules comes twice, once for each: the dynamic lexers try both.
    """
    table = plain_table(loaded, patterns)
    used = {symbol.name for rule in loaded.rules for symbol in rule.expansion}
    copied = [index for index in table.ignored if table.terminals[index].name in used]
    count = len(table.terminals)
    ignored = set(table.ignored).difference(copied).union(range(count, count + len(copied)))
    copies = (table.terminals[index] for index in copied)
    return replace(table, terminals=(*table.terminals, *copies), ignored=tuple(sorted(ignored)), lost=frozenset())


def plain_table(loaded: LoadedGrammar, patterns: Patterns) -> TerminalTable:
    """The terminals of a grammar in which no two of them compete, so that no keyword rule is needed.

    An ignored terminal never reaches the parser there.
    """
    ordered = sorted_terminals(loaded, patterns)
    patterns = _with_classes(ordered, patterns, loaded)
    terminals = tuple(_terminal(definition, loaded, patterns) for definition in ordered)
    ids: dict[str, tuple[int, ...]] = {definition.name: (index,) for index, definition in enumerate(ordered)}
    ignored = _ignored(loaded, ids)
    return TerminalTable(
        terminals=terminals, ids=ids, ignored=ignored, lost=frozenset(ignored), behind=patterns.classes
    )


def ordered_table(loaded: LoadedGrammar, patterns: Patterns, *, split_words: bool = True) -> TerminalTable:
    """The terminals of a grammar whose lexer is one ordered alternation (Lark's basic and contextual lexers).

    split_words: in Lark a reserved word where another terminal is expected that matches the beginning of it is read as
    that terminal and a rest. Without this flag no reserved word is ever split, no keyword is the beginning of a longer
    word, and a look-ahead at the end of a terminal speaks of its first match only.
    """
    ordered = sorted_terminals(loaded, patterns)
    patterns = _with_classes(ordered, patterns, loaded)
    reservings = {} if split_words else _reservings(ordered, patterns)
    keywords = _keywords(ordered, patterns, reservings)
    split = {name for name, regexes in keywords.items() if any(not embedded for _, embedded in regexes)}
    ids: dict[str, tuple[int, ...]] = {}
    count = 0
    for definition in ordered:
        copies = 2 if definition.name in split else 1
        ids[definition.name] = tuple(range(count, count + copies))
        count += copies
    ignored = set(loaded.ignore)
    terminals: list[Terminal] = []
    lost: set[int] = set()
    for definition in ordered:
        if definition.name in reservings:
            terminal = _reserving_terminal(definition, reservings[definition.name], loaded, patterns)
        else:
            terminal = _terminal(definition, loaded, patterns)
        regexes = keywords.get(definition.name, [])
        embedding = [ids[name][0] for name, embedded in regexes if embedded and name not in ignored]
        others = [ids[name][0] for name, embedded in regexes if not embedded and name not in ignored]
        swallowed = any(embedded and name in ignored for name, embedded in regexes)
        if definition.name in ignored:
            if embedding or others:
                raise _entangled(definition, loaded)
        elif swallowed:
            if embedding or others:
                raise _entangled(definition, loaded)
            lost.update(ids[definition.name])
        if not split_words and not terminal.reserved and not terminal.longer:
            of = [reservings.get(name) for name, _ in regexes]
            terminal = _whole_word(terminal, definition, of, patterns)
        terminals.append(replace(terminal, unless=tuple(embedding)))
        if definition.name in split:
            terminals.append(replace(terminal, unless=tuple(embedding + others)))
    ignored_ids = _ignored(loaded, ids)
    lost.update(ignored_ids)
    return TerminalTable(
        terminals=tuple(terminals), ids=ids, ignored=ignored_ids, lost=frozenset(lost), behind=patterns.classes
    )


def sorted_terminals(loaded: LoadedGrammar, patterns: Patterns) -> list[TerminalDef]:
    """All terminals in the order in which Lark's lexer tries them.

    Raises GrammarSyntaxError for patterns that Python refuses and for terminals that can be empty.
    """
    for definition in loaded.terminals:
        try:
            if not isinstance(definition.pattern, PatternStr):  # (those are escaped)
                patterns.compile(definition.pattern.to_regexp())
        except GrammarSyntaxError as error:
            raise _broken(error.reason, definition, loaded) from error
        if definition.pattern.min_width == 0:
            raise _broken("the terminal can match the empty text, which a lexer does not allow", definition, loaded)
    return sorted(
        loaded.terminals,
        key=lambda t: (-t.priority, -t.pattern.max_width, -len(t.pattern.value), t.name),
    )


def _ignored(loaded: LoadedGrammar, ids: dict[str, tuple[int, ...]]) -> tuple[int, ...]:
    return tuple(sorted({index for name in loaded.ignore for index in ids[name]}))


def _reservings(ordered: Sequence[TerminalDef], patterns: Patterns) -> dict[str, Reserving]:
    """The terminals that set reserved words aside, with their parts."""
    found: dict[str, Reserving] = {}
    for definition in ordered:
        if isinstance(definition.pattern, PatternStr) or "(?!" not in definition.pattern.value:
            continue
        try:
            parts = reserving(patterns.parse(definition.pattern.to_regexp()))
        except (UnsupportedGrammarError, GrammarSyntaxError):
            continue  # reported with its place when the terminal is compiled
        if parts:
            found[definition.name] = parts
    return found


def _reserving_terminal(
    definition: TerminalDef, parts: Reserving, loaded: LoadedGrammar, patterns: Patterns
) -> Terminal:
    automaton = open_automaton(parts.rest, classes=patterns.classes)
    if automaton is None:
        raise _matches_nothing(definition, loaded)
    try:
        words = to_utf8(parts.words)
    except UnsupportedGrammarError as error:
        place = loaded.place_of(definition)
        raise UnsupportedGrammarError(error.construct, place=place, advice=error.advice) from error
    if parts.longer:
        return Terminal(name=definition.name, automaton=automaton, longer=words)
    return Terminal(name=definition.name, automaton=automaton, reserved=words)


def _whole_word(
    terminal: Terminal, definition: TerminalDef, parts: Sequence[Reserving | None], patterns: Patterns
) -> Terminal:
    """A keyword of terminals that set reserved words aside, so that no longer word begins with it."""
    loops = [part.loop for part in parts if part and part.loop]
    if not loops:
        return terminal
    keyword = patterns.parse(definition.pattern.to_regexp())
    longer = alt(*(seq(keyword, Chars(loop)) for loop in loops))
    return replace(terminal, longer=to_utf8(CharAutomaton.from_node(longer).minimize()))


def _keywords(
    ordered: Sequence[TerminalDef], patterns: Patterns, reservings: dict[str, Reserving]
) -> dict[str, list[tuple[str, bool]]]:
    """Per literal the regex terminals that match it whole at equal priority, each with: is the literal embedded?

    The match is Python's own, as in Lark: a prefix match whose text is the literal. A regex counts without its
    look-ahead for reserved words, if it stands before the literal.
    """
    rank = {definition.name: place for place, definition in enumerate(ordered)}
    literals: dict[int, list[TerminalDef]] = {}
    for definition in ordered:
        if isinstance(definition.pattern, PatternStr):
            literals.setdefault(definition.priority, []).append(definition)
    found: dict[str, list[tuple[str, bool]]] = {}
    for definition in ordered:
        rivals = literals.get(definition.priority, [])
        if isinstance(definition.pattern, PatternStr) or not rivals:
            continue
        pattern = patterns.compile(definition.pattern.to_regexp())
        parts = reservings.get(definition.name)
        plain = CharAutomaton.from_node(parts.rest) if parts else None
        for literal in rivals:
            if parts and plain and parts.loop:
                if rank[literal.name] > rank[definition.name] and plain.accepts(literal.pattern.value):
                    embedded = frozenset(literal.pattern.flags) <= frozenset(definition.pattern.flags)
                    found.setdefault(literal.name, []).append((definition.name, embedded))
                continue
            match = pattern.match(literal.pattern.value)
            if match and match.group() == literal.pattern.value:
                embedded = frozenset(literal.pattern.flags) <= frozenset(definition.pattern.flags)
                found.setdefault(literal.name, []).append((definition.name, embedded))
    return found


def _terminal(definition: TerminalDef, loaded: LoadedGrammar, patterns: Patterns) -> Terminal:
    """Compile one terminal: a literal where possible, else its regex over UTF-8."""
    pattern = definition.pattern
    if isinstance(pattern, PatternStr) and not pattern.flags and not patterns.flags & re.IGNORECASE:
        try:
            text = pattern.value.encode()
            if not patterns.classes:
                return Terminal(name=definition.name, automaton=text)
        except UnicodeEncodeError as error:
            raise UnsupportedGrammarError(
                "a lone surrogate", place=loaded.place_of(definition), advice="Texts are UTF-8, which has none."
            ) from error
    return Terminal(name=definition.name, automaton=_automaton(pattern.to_regexp(), patterns, definition, loaded))


def _automaton(regexp: str, patterns: Patterns, definition: TerminalDef, loaded: LoadedGrammar) -> ByteAutomaton:
    try:
        node = patterns.parse(regexp)
        if patterns.classes:
            automaton = automaton_behind(node, patterns.classes)
        else:
            automaton = open_automaton(node, key=f"lark:{patterns.flags}:{patterns.regex}:{regexp}")
    except UnsupportedGrammarError as error:
        place = loaded.place_of(definition)
        raise UnsupportedGrammarError(error.construct, place=place, advice=error.advice) from error
    except GrammarSyntaxError as error:
        raise _broken(error.reason, definition, loaded) from error
    if automaton is None:
        raise _matches_nothing(definition, loaded)
    return automaton


def _with_classes(ordered: Sequence[TerminalDef], patterns: Patterns, loaded: LoadedGrammar) -> Patterns:
    """The patterns with the classes of characters that look-behinds at their beginning tell apart."""
    nodes: list[Node] = []
    for definition in ordered:
        if isinstance(definition.pattern, PatternStr):
            continue
        try:
            node = patterns.parse(definition.pattern.to_regexp())
            classes_of([node])
        except GrammarSyntaxError as error:
            raise _broken(error.reason, definition, loaded) from error
        except UnsupportedGrammarError as error:
            place = loaded.place_of(definition)
            raise UnsupportedGrammarError(error.construct, place=place, advice=error.advice) from error
        nodes.append(node)
    return replace(patterns, classes=classes_of(nodes))


def _matches_nothing(definition: TerminalDef, loaded: LoadedGrammar) -> UnsupportedGrammarError:
    return UnsupportedGrammarError(
        "a terminal that matches no text",
        place=loaded.place_of(definition),
        advice="Leave it out, with the rules that need it.",
    )


def _broken(message: str, definition: TerminalDef, loaded: LoadedGrammar) -> GrammarSyntaxError:
    return loaded.broken(definition, message)


def _entangled(definition: TerminalDef, loaded: LoadedGrammar) -> UnsupportedGrammarError:
    return UnsupportedGrammarError(
        f"the keyword {definition.user_repr()} of a regex, one of which is ignored and the other not,",
        place=loaded.place_of(definition),
        advice="Give the two terminals different priorities, or write the keyword as a regex.",
    )
