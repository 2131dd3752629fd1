r"""Look-behinds that look before their terminal's own text: ``\bif``, ``^#``, ``(?<!x)y``.

What they see is the last character before the lexeme, so the characters are divided into classes that no look-behind of
the grammar tells apart inside. Every match says of which class its last character is (``ir.Grammar.behind``), and a
terminal that looks behind has a start for each class, and one for the start of the text. Look-behinds that see further
than one character are refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from grammar_engine.compiler.assertions import look_behinds, runner, step
from grammar_engine.compiler.automaton import ByteAutomaton, side_by_side
from grammar_engine.compiler.charset import ANY, CharSet, partition
from grammar_engine.compiler.conditions import open_automaton
from grammar_engine.compiler.errors import UnsupportedGrammarError
from grammar_engine.compiler.frontends.lark_assertions import max_width, min_width
from grammar_engine.compiler.last_character import Classes
from grammar_engine.compiler.regex_ast import Alternate, Assertion, Concat, Node, Repeat, has_assertion


def outward(node: Node, before: float = 0) -> Iterator[Assertion]:
    """The look-behinds that may see text before the lexeme; by widths, erring on that side.

    before: the fewest characters that the lexeme has before ``node``.
    """
    if isinstance(node, Assertion):
        if node.ahead:
            yield from outward(node.node, before)
        elif max_width(node.node) > before:
            yield node
    elif isinstance(node, Alternate):
        for part in node.nodes:
            yield from outward(part, before)
    elif isinstance(node, Repeat):
        yield from outward(node.node, before)
    elif isinstance(node, Concat) and has_assertion(node):
        for part in node.nodes:
            yield from outward(part, before)
            before += min_width(part)


def classes_of(nodes: Sequence[Node]) -> Classes:
    """The classes that the outward look-behinds of some patterns tell apart, all characters together; () if none looks.

    Raises UnsupportedGrammarError for one that sees more than one character.
    """
    labels: dict[CharSet, None] = {}
    for look in dict.fromkeys(look for node in nodes for look in outward(node)):
        if max_width(look.node) > 1:
            raise UnsupportedGrammarError(
                "a look-behind that looks more than one character before the terminal's own text",
                place="look-behind",
                advice="Let the terminal read what must stand before it, or keep look-behinds inside of it.",
            )
        labels.update(dict.fromkeys(label for label, _ in runner(look).moves[0]))
    if not labels and not any(True for node in nodes for _ in outward(node)):
        return ()
    return tuple(atom for atom, _ in partition((ANY, *labels)))


def automaton_behind(node: Node, classes: Classes) -> ByteAutomaton | None:
    """The automaton of a pattern whose matches tell the class of their last character; None if nothing matches."""
    if not any(True for _ in outward(node)):
        return open_automaton(node, classes=classes)
    looks = look_behinds(node)
    pasts = [{look: step(runner(look), 0, label, keep_dead=True)[0][1] for look in looks} for label in classes]
    variants = [open_automaton(node, classes=classes, past=past) for past in ({}, *pasts)]
    return side_by_side(variants) if any(variants) else None
