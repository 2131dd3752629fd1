"""Recursion that only repeats becomes repetition; rules without recursion are put where they are used.

    items ::= item ("," items)?            becomes    items ::= (item ",")* item
    ws    ::= ([ \\t\\n] ws)?                becomes    ws    ::= [ \\t\\n]*

A rule that names itself only at the ends (or only at the beginnings) of its alternatives is a linear equation,
X = A X | B, with the solution A* B (Arden, "Delayed-logic and finite-state machines", 1961). So are a few rules that
name each other only so; they are eliminated one by one. It is worth it: a regular rule becomes part of an automaton,
and for a list the parser's stack is the same after each element instead of growing.

What is regular is then put into the rules that name it, as long as their automata stay small (``Node.is_terminal``).
Nothing is ever copied: trees share their parts, so that only sizes grow.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from grammar_engine.compiler.frontends.gbnf.tree import (
    EMPTY,
    FAIL,
    Choice,
    Forest,
    Node,
    Reference,
    Repeat,
    Seq,
    parts_of,
)

_MAX_TOGETHER = 8
"""Rules that name each other are solved as a system up to so many: elimination may square sizes with each."""

Linear = tuple[dict[int, Node], Node]
"""X₁ ↦ A₁, …, and B: the sum of the A X, and B."""


def simplify(forest: Forest, rules: Sequence[Node], root: int) -> list[Node]:
    """Equivalent right-hand sides for the rules that the root needs; of the others, what they were."""
    result = [_without_own_ends(forest, number, body) for number, body in enumerate(rules)]
    for component in components(result, root):
        members = frozenset(component)
        for number in component:
            result[number] = _inlined(forest, result[number], result, members)
        if 1 < len(component) <= _MAX_TOGETHER:
            _solve(forest, component, result)
    return result


def _without_own_ends(forest: Forest, number: int, body: Node) -> Node:
    """A rule's body without the rule at the ends of its alternatives, or at their beginnings."""
    if number not in body.refs:
        return body
    members = frozenset([number])
    for at_end in (True, False):
        equation = _split(forest, body, members, at_end=at_end)
        if equation is not None:
            rounds, rest = forest.star(equation[0].get(number, FAIL)), equation[1]
            return forest.seq((rounds, rest) if at_end else (rest, rounds))
    return body


def _split(forest: Forest, node: Node, members: frozenset[int], *, at_end: bool) -> Linear | None:
    """``node`` as A₁ X₁ | … | B (at_end) or X₁ A₁ | … | B, for rules X; None if they stand elsewhere too."""
    if not node.refs & members:
        return {}, node
    if isinstance(node, Reference):
        return {node.rule: EMPTY}, FAIL
    if isinstance(node, Repeat):
        if (node.low, node.high) != (0, 1):
            return None
        inner = _split(forest, node.part, members, at_end=at_end)
        return inner and (inner[0], forest.choice([inner[1], EMPTY]))
    if isinstance(node, Choice):
        sums: dict[int, list[Node]] = {}
        rest: list[Node] = []
        for part in node.parts:
            inner = _split(forest, part, members, at_end=at_end)
            if inner is None:
                return None
            for number, factor in inner[0].items():
                sums.setdefault(number, []).append(factor)
            rest.append(inner[1])
        return {number: forest.choice(factors) for number, factors in sums.items()}, forest.choice(rest)
    if isinstance(node, Seq):
        others, last = (node.parts[:-1], node.parts[-1]) if at_end else (node.parts[1:], node.parts[0])
        if any(part.refs & members for part in others):
            return None
        inner = _split(forest, last, members, at_end=at_end)
        if inner is None:
            return None

        def extended(part: Node) -> Node:
            return forest.seq((*others, part) if at_end else (part, *others))

        return {number: extended(factor) for number, factor in inner[0].items()}, extended(inner[1])
    return None


def _solve(forest: Forest, component: Sequence[int], rules: list[Node]) -> None:
    """Replace rules that name each other only at ends, or only at beginnings, by what they repeat, if regular."""
    members = frozenset(component)
    if any(rules[number].refs - members for number in component):
        return
    for at_end in (True, False):
        split = [_split(forest, rules[number], members, at_end=at_end) for number in component]
        equations = dict(zip(component, (equation for equation in split if equation is not None), strict=False))
        if len(equations) < len(component):
            continue

        def joined(one: Node, two: Node, at_end: bool = at_end) -> Node:
            return forest.seq((one, two) if at_end else (two, one))

        for index in range(len(component) - 1, -1, -1):
            number = component[index]
            factors, rest = equations[number]
            rounds = forest.star(factors.pop(number, FAIL))
            solved = ({other: joined(rounds, factor) for other, factor in factors.items()}, joined(rounds, rest))
            equations[number] = solved
            for other in component[:index]:
                equations[other] = _substituted(forest, equations[other], number, solved, joined)
        for index, number in enumerate(component):
            for earlier in component[:index]:
                equations[number] = _substituted(forest, equations[number], earlier, equations[earlier], joined)
            if equations[number][1].is_terminal:
                rules[number] = equations[number][1]
        return


def _substituted(
    forest: Forest, equation: Linear, number: int, solution: Linear, joined: Callable[[Node, Node], Node]
) -> Linear:
    """An equation with a solved rule put in."""
    factors, rest = dict(equation[0]), equation[1]
    factor = factors.pop(number, None)
    if factor is None:
        return equation
    for other, inner in solution[0].items():
        factors[other] = forest.choice([factors.get(other, FAIL), joined(factor, inner)])
    return factors, forest.choice([rest, joined(factor, solution[1])])


def _inlined(forest: Forest, node: Node, rules: Sequence[Node], members: frozenset[int]) -> Node:
    """``node`` with the regular rules that it names put in, but for ``members`` and what would grow too large."""
    if not node.refs - members:
        return node
    if isinstance(node, Reference):
        body = rules[node.rule]
        while isinstance(body, Reference) and body.rule not in members and body is not rules[body.rule]:
            body = rules[body.rule]
        return body if body.is_terminal else node
    return forest.rebuild(node, [_inlined(forest, part, rules, members) for part in parts_of(node)])


def components(rules: Sequence[Node], root: int) -> list[list[int]]:
    """The strongly connected components that the root reaches, those that are named first (Tarjan 1972)."""
    found: list[list[int]] = []
    index: dict[int, int] = {}
    low: dict[int, int] = {}
    stack: list[int] = []
    waiting: set[int] = set()
    todo = [(root, iter(sorted(rules[root].refs)))]
    index[root] = low[root] = 0
    stack.append(root)
    waiting.add(root)
    while todo:
        number, refs = todo[-1]
        for target in refs:
            if target not in index:
                index[target] = low[target] = len(index)
                stack.append(target)
                waiting.add(target)
                todo.append((target, iter(sorted(rules[target].refs))))
                break
            if target in waiting:
                low[number] = min(low[number], index[target])
        else:
            todo.pop()
            if todo:
                above = todo[-1][0]
                low[above] = min(low[above], low[number])
            if low[number] == index[number]:
                component: list[int] = []
                while not component or component[-1] != number:
                    component.append(stack.pop())
                    waiting.discard(component[-1])
                found.append(component)
    return found
