"""Does a terminal's pattern look before its own lexeme?

Patterns are compiled as if the text began with the lexeme. For a look-behind that is right only if it is always decided
by characters that the pattern has read before it: after an opening quote it is, in ``\\bif`` or ``^#`` it is not. The
answer goes by widths and errs on the side of "it looks before". (What look-aheads see behind the lexeme is no matter:
``compiler.conditions``.)
"""

from __future__ import annotations

import math

from grammar_engine.compiler.regex_ast import Alternate, Assertion, Chars, Concat, Node, Repeat, has_assertion


def looks_before(node: Node, before: float = 0) -> bool:
    """Can a look-behind in ``node`` see text before the lexeme? before: the fewest characters read before ``node``."""
    if isinstance(node, Assertion):
        return looks_before(node.node, before) if node.ahead else max_width(node.node) > before
    if isinstance(node, Alternate):
        return any(looks_before(part, before) for part in node.nodes)
    if isinstance(node, Repeat):
        return looks_before(node.node, before)
    if isinstance(node, Concat) and has_assertion(node):
        for part in node.nodes:
            if looks_before(part, before):
                return True
            before += min_width(part)
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
