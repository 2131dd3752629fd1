"""`re.search` as a language of whole texts: Σ* x Σ*, written so that anchored patterns stay small.

A leading anchor removes the Σ* before it instead of contradicting it later, a trailing one the Σ* behind, and a loop
at an open end need not go beyond its least number of rounds: what it would read, Σ* reads.
"""

from __future__ import annotations

from grammar_engine.compiler.regex_ast import (
    ANY_TEXT,
    EMPTY,
    TEXT_END,
    TEXT_END_OR_NEWLINE,
    TEXT_START,
    Alternate,
    Concat,
    Empty,
    Node,
    Repeat,
    alt,
    chars,
    optional,
    repeat,
    seq,
)


def searching(node: Node) -> Node:
    """The tree of the texts in which ``node`` matches somewhere; priorities are not kept."""
    return _open(node, left=True, right=True)


def _open(node: Node, *, left: bool, right: bool) -> Node:
    """``node`` with any text before it (if ``left``) and behind it (if ``right``)."""
    if isinstance(node, Alternate):
        return alt(*(_open(option, left=left, right=right) for option in node.nodes))
    parts: list[Node] = [node]
    if isinstance(node, (Concat, Empty)):
        parts = list(node.nodes) if isinstance(node, Concat) else []
    while parts and parts[0] == TEXT_START:
        left = False
        parts.pop(0)
    anchors: list[Node] = []
    while parts and parts[-1] in (TEXT_END, TEXT_END_OR_NEWLINE):
        anchors.append(parts.pop())
    tail: Node = ANY_TEXT if right else EMPTY
    if anchors and right:
        right = False
        tail = EMPTY if TEXT_END in anchors else optional(chars("\n"))
    if left and parts:
        parts[0] = _least(parts[0])
    if right and parts:
        parts[-1] = _least(parts[-1])
    if len(parts) == 1 and isinstance(parts[0], (Alternate, Concat)) and tail in (ANY_TEXT, EMPTY):
        return _open(parts[0], left=left, right=right)
    if not parts and left and right:
        return ANY_TEXT
    return seq(ANY_TEXT if left else EMPTY, *parts, tail)


def _least(node: Node) -> Node:
    return repeat(node.node, node.min, node.min) if isinstance(node, Repeat) else node
