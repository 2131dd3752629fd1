"""Given strings as automata over bytes, by array operations: as they stand, or as JSON strings in every spelling."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from grammar_engine.compiler.automaton import MATCH, ByteAutomaton, Int32Array
from grammar_engine.compiler.charset import CharSet
from grammar_engine.compiler.prefix_tree import Ints, tree_of_bytes, tree_of_texts
from grammar_engine.compiler.spelling import concatenated, json_trie
from grammar_engine.compiler.utf8 import Template

_QUOTE = ord('"')


def plain_texts(texts: Sequence[bytes]) -> ByteAutomaton:
    """Exactly these texts, none of them empty."""
    tree = tree_of_bytes(texts)
    edges = len(tree.sources)
    positions = np.stack([tree.symbols, tree.symbols, np.arange(1, edges + 1)], axis=1)
    return _assembled(positions, tree.sources, np.flatnonzero(tree.accepting), edges + 1)


def given_json_strings(texts: Sequence[str]) -> ByteAutomaton:
    """The JSON strings, quotes included, whose values are these texts: each character in each of its escapes.

    Every edge of the texts' prefix tree becomes the branches that spell its character (``spelling.json_trie``); what is
    behind a branch is a copy of its node's template.
    """
    tree = tree_of_texts(texts)
    characters, which = np.unique(tree.symbols, return_inverse=True)
    branches: list[tuple[int, int, int]] = []  # lowest and highest byte, template or -1
    templates: list[Template] = []
    counts: list[int] = []
    for code in characters.tolist():
        spelled = json_trie(CharSet(((code, code),)))
        counts.append(len(spelled))
        for low, high, below in spelled:
            branches.append((low, high, -1 if below is None else len(templates)))
            if below is not None:
                templates.append(below.template)
    nodes = len(tree.accepting)
    sizes = np.array(counts, np.int64)
    edge, rows = _ragged(sizes, which.reshape(-1))
    moves = np.array(branches, np.int64).reshape(-1, 3)[rows]
    sources, targets = tree.sources[edge] + 1, edge + 2  # state 0 is before the quote, node n is state n + 1
    copied = moves[:, 2] >= 0
    of, behind = moves[copied, 2], targets[copied]
    end = nodes + 1
    positions = np.stack([moves[:, 0], moves[:, 1], targets], axis=1)
    states = end + 1
    inside = np.zeros((0, 3), np.int64)
    owners = np.zeros(0, np.int64)
    if len(of):
        lengths = np.array([len(template.counts) for template in templates], np.int64)[of]
        first = states + np.cumsum(lengths) - lengths
        positions[copied, 2] = first
        copy, found = concatenated([template.moves for template in templates], of)
        inside = found.astype(np.int64)
        ends = inside[:, 2] < 0
        inside[:, 2] += first[copy]
        inside[ends, 2] = behind[copy[ends]]
        _, degrees = concatenated([template.counts for template in templates], of)
        owners = states + np.repeat(np.arange(len(degrees)), degrees)
        states += int(lengths.sum())
    final = np.flatnonzero(tree.accepting) + 1
    quotes = np.stack([np.full(len(final), _QUOTE), np.full(len(final), _QUOTE), np.full(len(final), end)], axis=1)
    return _assembled(
        np.concatenate([np.array([[_QUOTE, _QUOTE, 1]]), positions, quotes, inside]),
        np.concatenate([[0], sources, final, owners]),
        np.array([end]),
        states,
    )


def _ragged(sizes: Ints, order: Ints) -> tuple[Ints, Ints]:
    """Pieces of some sizes, in an order that may repeat them: place in the order and row of the pieces, per row."""
    starts = np.cumsum(sizes) - sizes
    taken = sizes[order]
    which = np.repeat(np.arange(len(order)), taken)
    before = np.cumsum(taken) - taken
    return which, np.arange(len(which)) + (starts[order] - before)[which]


def _assembled(positions: Ints, sources: Ints, final: Ints, states: int) -> ByteAutomaton:
    """An automaton from its moves and the states that they leave. Reading on has priority over matching."""
    owners = np.concatenate([sources, final])
    order = np.argsort(owners, kind="stable")
    entries: Int32Array = np.zeros((len(owners), 3), np.int32)
    entries[:, 0] = np.concatenate([np.arange(len(sources)), np.full(len(final), MATCH)])[order]
    offsets = np.zeros(states + 1, np.int32)
    np.cumsum(np.bincount(owners, minlength=states), out=offsets[1:])
    return ByteAutomaton(positions=positions.astype(np.int32), offsets=offsets, entries=entries)
