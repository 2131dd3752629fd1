r"""Reserved words, and operators that must not go on: look-aheads beyond a lexeme that real languages need.

**Reserved words.** ``/(?!(?:if|else)\b)[^\W\d]\w*/`` is an identifier that is no reserved word, wherever it stands.
Its look-ahead sees the character behind the lexeme, but in patterns of this form it does not matter which one that is:
the rest of the pattern takes all word characters there are, so the look-ahead holds exactly if what it took is not one
of the words. Hence such a terminal is an automaton without look-ahead, and texts that it does not match
(``ir.Terminal.reserved``).

    pattern = (?! words end ) first loop*       words  no look-around, characters of ``loop`` only
                                                end    ``\b``, or a negative look-ahead for ``loop``
                                                first  a set within ``loop`` (or nothing, if it is ``loop+``)
                                                loop   a set, all that ``end`` calls part of a word

**Operators.** ``/-(?!-)/`` is a minus that is not the beginning of ``--``. Here the texts that the terminal prefers and
does not match are longer than what it matches (``ir.Terminal.longer``).

    pattern = body (?! behind )                 body    no look-around, all texts of one length
                                                behind  no look-around, never empty

Where texts differ in length, as in ``/[0-9]+(?![a-z0-9])/``, Python tries shorter ones when what follows the first
match is not wanted. Here it is not so, the first match decides. Then ``behind`` must be a set; the
terminal takes all of its members that follow, and what is then none of its texts is set aside like a reserved word.
"""

from __future__ import annotations

from dataclasses import dataclass

from grammar_engine.compiler.char_automaton import CharAutomaton
from grammar_engine.compiler.charset import CharSet
from grammar_engine.compiler.frontends.lark_assertions import max_width, min_width
from grammar_engine.compiler.regex_ast import (
    Alternate,
    Assertion,
    Chars,
    Concat,
    Node,
    Repeat,
    has_assertion,
    is_nullable,
    repeat,
    seq,
    word_boundary,
)


@dataclass(frozen=True, kw_only=True)
class Reserving:
    """rest: the pattern without its look-ahead. words: what it does not match, deterministic. loop: the characters of
    its words. longer: are ``words`` longer than all texts of ``rest``?
    """

    rest: Node
    words: CharAutomaton
    loop: CharSet | None = None
    longer: bool = False


def reserving(node: Node) -> Reserving | None:
    """The parts of a pattern of the form above; None for any other."""
    if not isinstance(node, Concat):
        return None
    *body, behind = node.nodes
    if isinstance(behind, Assertion):
        return _not_before(seq(*body), behind)
    ahead, *rest = node.nodes
    if not isinstance(ahead, Assertion) or not (ahead.ahead and ahead.negative and isinstance(ahead.node, Concat)):
        return None
    loop = _run(rest)
    *words, end = ahead.node.nodes
    word = seq(*words)
    if loop is None or not _ends_run(end, loop) or not _avoids(word, loop.complement()) or is_nullable(word):
        return None
    return Reserving(rest=seq(*rest), words=_minimal(word), loop=loop)


def _minimal(node: Node) -> CharAutomaton:
    return CharAutomaton.from_node(node).minimize()


def _not_before(body: Node, behind: Assertion) -> Reserving | None:
    if not (behind.ahead and behind.negative) or has_assertion(body) or has_assertion(behind.node):
        return None
    if is_nullable(behind.node) or is_nullable(body):
        return None
    if min_width(body) == max_width(body):
        return Reserving(rest=body, words=_minimal(seq(body, behind.node)), longer=True)
    if not isinstance(behind.node, Chars):
        return None
    touching = seq(body, repeat(behind.node, 1, None))
    words = CharAutomaton.from_node(touching).difference(CharAutomaton.from_node(body)).minimize()
    return Reserving(rest=seq(body, repeat(behind.node, 0, None)), words=words)


def _run(nodes: list[Node]) -> CharSet | None:
    """The set of a greedy run of characters, ``first loop*`` or ``loop+``."""
    last = nodes[-1]
    if not isinstance(last, Repeat) or last.max is not None or not last.greedy or not isinstance(last.node, Chars):
        return None
    loop = last.node.charset
    if last.min == 1 and len(nodes) == 1:
        return loop
    if last.min == 0 and len(nodes) == 2 and isinstance(nodes[0], Chars) and not nodes[0].charset.difference(loop):
        return loop
    return None


def _ends_run(end: Node, loop: CharSet) -> bool:
    return end in (Assertion(Chars(loop), ahead=True, negative=True), word_boundary(loop))


def _avoids(node: Node, others: CharSet) -> bool:
    """Is this a pattern without look-around and without any of these characters?"""
    if has_assertion(node):
        return False
    if isinstance(node, Chars):
        return not node.charset.intersect(others)
    if isinstance(node, (Concat, Alternate)):
        return all(_avoids(part, others) for part in node.nodes)
    return not isinstance(node, Repeat) or _avoids(node.node, others)
