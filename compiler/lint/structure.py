"""Rules that cannot be reached, that cannot be completed, or that derive themselves; all in linear time.

A rule derives itself, A =>+ A, where it stands alone in one of its own right-hand sides, perhaps over other rules and
beside symbols that may be empty: then every text that it matches has infinitely many derivations. Plain left recursion
is no such thing and not worth a word.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from grammar_engine.compiler.ir import Production
from grammar_engine.compiler.lint.findings import Finding, Kind
from grammar_engine.compiler.lint.plain import PlainGrammar
from grammar_engine.compiler.normalize import derives

Rules = Sequence[Sequence[Production]]


def structure_findings(grammar: PlainGrammar) -> Iterator[Finding]:
    """What is wrong with single rules, and the empty language."""
    for number in sorted(grammar.written - reachable(grammar.rules, grammar.start)):
        yield _of_rule(grammar, number, Kind.UNREACHABLE, "is never used")
    productive = derivable(grammar.rules, terminals=True)
    if not productive[grammar.start]:
        line, column = grammar.place(grammar.start)
        yield Finding(
            kind=Kind.EMPTY_LANGUAGE,
            subject=grammar.owners[grammar.start],
            message="no text is in the language: every derivation needs a rule that can never be completed",
            line=line,
            column=column,
        )
    for number in sorted(grammar.written):
        if not productive[number]:
            yield _of_rule(grammar, number, Kind.UNPRODUCTIVE, "can never be completed")
    for cycle in cycles(grammar.rules):
        names = list(dict.fromkeys(grammar.owners[number] for number in cycle))
        way = " → ".join([*names, names[0]])
        line, column = grammar.place(cycle[0])
        yield Finding(
            kind=Kind.CYCLIC,
            subject=names[0],
            message=f"rule {names[0]} derives itself ({way}), so what it matches has infinitely many derivations",
            line=line,
            column=column,
        )


def _of_rule(grammar: PlainGrammar, number: int, kind: Kind, what: str) -> Finding:
    line, column = grammar.place(number)
    name = grammar.owners[number]
    return Finding(kind=kind, subject=name, message=f"rule {name} {what}", line=line, column=column)


def reachable(rules: Rules, start: int) -> frozenset[int]:
    """The nonterminals that a derivation from the start can hold."""
    found, todo = {start}, [start]
    while todo:
        for production in rules[todo.pop()]:
            for symbol in production:
                if symbol < 0 and ~symbol not in found:
                    found.add(~symbol)
                    todo.append(~symbol)
    return frozenset(found)


def trimmed(rules: Rules, start: int) -> list[list[Production]] | None:
    """The rules without what cannot be reached or completed; None if the start cannot."""
    productive = derivable(rules, terminals=True)
    if not productive[start]:
        return None
    kept = [
        [rhs for rhs in dict.fromkeys(alternatives) if all(symbol >= 0 or productive[~symbol] for symbol in rhs)]
        for alternatives in rules
    ]
    wanted = reachable(kept, start)
    return [alternatives if number in wanted else [] for number, alternatives in enumerate(kept)]


def derivable(rules: Rules, *, terminals: bool) -> list[bool]:
    """Per nonterminal: does it derive a text (terminals: True), or the empty text (False)?"""
    return derives(rules, blocks=not terminals)


def cycles(rules: Rules) -> list[list[int]]:
    """The sets of nonterminals that derive each other with nothing around them: components of "derives alone"."""
    nullable = derivable(rules, terminals=False)
    alone: list[list[int]] = []
    for alternatives in rules:
        found: dict[int, None] = {}
        for production in alternatives:
            solid = [symbol for symbol in production if symbol >= 0 or not nullable[~symbol]]
            if len(solid) == 1 and solid[0] < 0:
                found[~solid[0]] = None
            elif not solid:
                found.update(dict.fromkeys(~symbol for symbol in production))
        alone.append(list(found))
    return [sorted(part) for part in components(alone) if len(part) > 1 or part[0] in alone[part[0]]]


def components(edges: Sequence[Sequence[int]]) -> list[list[int]]:
    """The strongly connected components of a graph (Tarjan 1972, with a stack of its own)."""
    index: dict[int, int] = {}
    low = [0] * len(edges)
    inside = [False] * len(edges)
    path: list[int] = []
    found: list[list[int]] = []
    for root in range(len(edges)):
        if root in index:
            continue
        todo = [(root, 0)]
        while todo:
            node, at = todo.pop()
            if node not in index:
                index[node] = low[node] = len(index)
                path.append(node)
                inside[node] = True
            for place in range(at, len(edges[node])):
                target = edges[node][place]
                if target not in index:
                    todo += [(node, place), (target, 0)]
                    break
                if inside[target]:
                    low[node] = min(low[node], low[target])
            else:
                if low[node] == index[node]:
                    found.append(_popped(path, node))
                    for member in found[-1]:
                        inside[member] = False
    return found


def _popped(path: list[int], node: int) -> list[int]:
    """The end of a path from a node on, taken off."""
    found: list[int] = []
    while not found or found[-1] != node:
        found.append(path.pop())
    return found
