"""Does a terminal's pattern look beyond its own lexeme?

Patterns are compiled as if the lexeme were the whole text. For an assertion that is right only if it is always decided
by characters of the lexeme itself: a look-behind by characters that the pattern has read before it, a look-ahead by
characters that it still must read. A look-behind after an opening quote is. ``$``, ``\\b`` or ``[?](?![a-z])`` at the
end are not: there the text that follows decides. The answer goes by widths and errs on the side of "it looks beyond".
"""

from __future__ import annotations

import math

from grammar_engine.compiler.regex_ast import Alternate, Assertion, Chars, Concat, Node, Repeat, has_assertion


def looks_beyond(node: Node, before: float = 0, after: float = 0) -> bool:
    """Can an assertion in ``node`` see text outside of the lexeme?

    before, after: the fewest characters that the lexeme has before and after ``node``.
    """
    if isinstance(node, Assertion):
        return max_width(node) > (after if node.ahead else before)
    if isinstance(node, Alternate):
        return any(looks_beyond(part, before, after) for part in node.nodes)
    if isinstance(node, Repeat):
        return looks_beyond(node.node, before, after)
    if isinstance(node, Concat) and has_assertion(node):
        rest = [min_width(part) for part in node.nodes]
        for index, part in enumerate(node.nodes):
            if looks_beyond(part, before + sum(rest[:index]), after + sum(rest[index + 1 :])):
                return True
    return False


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
