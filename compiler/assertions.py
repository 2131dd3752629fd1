"""Look-around as automata that run beside a pattern.

A look-ahead `(?=x)` met at some place is an obligation on the rest of the text: the rest must be in x·Σ*. Its
deterministic automaton starts there and runs in step with the pattern; at the end of the text it must accept. A
negative one obliges the rest to be in the complement. A look-behind `(?<=x)` is a question to the text so far:
the deterministic automaton of Σ*·x runs from the very start, and says at any place whether the assertion holds.
Products of the pattern with these automata are exact for whole texts (Miyazaki and Minamide 2019 treat look-ahead
alike, with derivatives). The anchors and `\\b` are look-arounds too (``regex_ast``).
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from grammar_engine.compiler.automaton import MATCH
from grammar_engine.compiler.automaton_algebra import combine, minimize
from grammar_engine.compiler.automaton_product import Is, Not
from grammar_engine.compiler.char_states import States
from grammar_engine.compiler.charset import ANY, CharSet
from grammar_engine.compiler.errors import UnsupportedGrammarError
from grammar_engine.compiler.regex_ast import ANY_TEXT, Alternate, Assertion, Concat, Node, Repeat, seq

DEAD = -1


class Runner(NamedTuple):
    """A minimal deterministic automaton that runs in step with a pattern.

    ``moves[s]``: (label, state behind); what no label holds leads to DEAD. ``settled[s]``: every continuation is
    accepted, so nothing need be remembered any more. ``settled`` of DEAD: none is.
    """

    moves: tuple[tuple[tuple[CharSet, int], ...], ...]
    accepting: tuple[bool, ...]
    settled: tuple[bool, ...]
    dead_at_start: bool


MAX_ASSERTION_STATES = 20_000
"""States of the automaton of one look-ahead or look-behind."""


@lru_cache(maxsize=512)
def runner(assertion: Assertion, past: tuple[int, ...] = ()) -> Runner:
    """The automaton of an assertion.

    Looking ahead: of the rest of the text, negation included. Look-behinds inside it ask about text before its own
    start, so ``past`` gives the states that their automata have reached there, in the order of ``look_behinds``.
    Looking behind: of the text so far, negation left to the reader (who must tell "not yet" from "never").
    """
    from grammar_engine.compiler.construct import construct

    negative = assertion.ahead and assertion.negative
    if assertion.ahead:
        reached = dict(zip(look_behinds(assertion.node), past, strict=True))
        states = construct(seq(assertion.node, ANY_TEXT), counters=False, past=reached, limit=MAX_ASSERTION_STATES)
    else:
        _refuse_look_ahead(assertion.node)
        states = construct(seq(ANY_TEXT, assertion.node), counters=False, limit=MAX_ASSERTION_STATES)
    formula = Not(Is(0)) if negative else Is(0)
    return _freeze(minimize(combine({0: states}, formula, limit=MAX_ASSERTION_STATES)))


def look_behinds(node: Node) -> list[Assertion]:
    """The look-behinds in a tree, those inside look-aheads too, each once."""
    if isinstance(node, Assertion):
        return look_behinds(node.node) if node.ahead else [node]
    if isinstance(node, (Concat, Alternate)):
        return list(dict.fromkeys(found for part in node.nodes for found in look_behinds(part)))
    return look_behinds(node.node) if isinstance(node, Repeat) else []


def _freeze(states: States) -> Runner:
    moves = tuple(tuple((edge.label, edge.target) for edge in edges if edge.target != MATCH) for edges in states)
    accepting = tuple(any(edge.target == MATCH for edge in edges) for edges in states)
    settled = tuple(
        accepting[state] and len(moves[state]) == 1 and moves[state][0] == (ANY, state) for state in range(len(states))
    )
    return Runner(moves, accepting, settled, states == ((),))


def step(run: Runner, state: int, label: CharSet, *, keep_dead: bool) -> list[tuple[CharSet, int]]:
    """Cut ``label`` by where its characters lead; DEAD included on request."""
    moves = run.moves[state] if state != DEAD else ()
    if len(moves) == 1 and moves[0][0] is ANY:
        return [(label, moves[0][1])]
    found: list[tuple[CharSet, int]] = []
    for move, target in moves:
        common = label.intersect(move)
        if common:
            found.append((common, target))
    if keep_dead:
        rest = label
        for move, _ in moves:
            rest = rest.difference(move)
        if rest:
            found.append((rest, DEAD))
    return found


def _refuse_look_ahead(node: Node) -> None:
    """A look-ahead inside a look-behind may look at text behind the look-behind's own end."""
    if isinstance(node, Assertion):
        if node.ahead:
            raise UnsupportedGrammarError(
                r"a look-ahead, $ or \b inside a look-behind",
                place="look-behind",
                advice="Move it out of the look-behind or write the cases out.",
            )
        _refuse_look_ahead(node.node)
    elif isinstance(node, (Concat, Alternate)):
        for part in node.nodes:
            _refuse_look_ahead(part)
    elif isinstance(node, Repeat):
        _refuse_look_ahead(node.node)
