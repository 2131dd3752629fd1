"""How many characters a pattern reads or looks at: what decides whether an assertion can see beyond the lexeme."""

from __future__ import annotations

import math

from grammar_engine.compiler.regex_ast import Alternate, Assertion, Chars, Concat, Node, Repeat


def min_width(node: Node) -> float:
    """The fewest characters that a tree reads."""
    if isinstance(node, Chars):
        return 1
    if isinstance(node, Concat):
        return sum(min_width(part) for part in node.nodes)
    if isinstance(node, Alternate):
        return min(min_width(part) for part in node.nodes)
    if isinstance(node, Repeat):
        return node.min * min_width(node.node)
    return 0


def max_width(node: Node) -> float:
    """The most characters that a tree reads or looks at; ``math.inf`` without bound."""
    if isinstance(node, Chars):
        return 1
    if isinstance(node, Concat):
        return sum(max_width(part) for part in node.nodes)
    if isinstance(node, Alternate):
        return max(max_width(part) for part in node.nodes)
    if isinstance(node, Repeat):
        width = max_width(node.node)
        if node.max is None:
            return math.inf if width else 0
        return node.max * width
    if isinstance(node, Assertion):
        return max_width(node.node)
    return 0
