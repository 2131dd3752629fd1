"""Automata of formats and of common numbers as a data file: read in a fraction of what it takes to build them.

The file holds what ``format_builders.py`` builds, each format twice: over characters, for products with patterns and
lengths, and spelled as JSON strings over bytes, which is what most schemas need; the numbers of ``numbers.py`` that
many schemas ask for; and Unicode's general categories. ``.ci/write_format_automata.py`` writes it, and tests compare it
with the constructions.
The formats with tables of Unicode are those of the version named in the file, whatever Python reads it.

Layout: the length of a JSON index in 4 bytes, the index, then one zlib stream for each part. A part is some arrays of
int32, one after the other; of all its numbers the lowest bytes come first, then the second ones, and so on. Where
neighbours are close, an array holds differences: a third of the size.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from grammar_engine.compiler.automaton import MATCH, ByteAutomaton, Int32Array
from grammar_engine.compiler.char_automaton import CharAutomaton
from grammar_engine.compiler.char_states import Edge
from grammar_engine.compiler.charset import NOTHING, CharSet

PATH = Path(__file__).with_name("format_automata.bin")


class Archive(NamedTuple):
    """The file's index and the bytes behind it.

    ``formats``: for each name the places of its two parts, (start, end, sizes of the arrays). ``numbers``: the place of
    each automaton, by its key. ``categories``: the names of general categories and the place of their ranges.
    """

    unicode_version: str
    formats: dict[str, dict[str, Any]]
    numbers: dict[str, Any]
    categories: tuple[list[str], Any]
    body: bytes


@cache
def archive(path: Path = PATH) -> Archive:
    """The file, its parts still packed."""
    content = path.read_bytes()
    size = int.from_bytes(content[:4], "little")
    index = json.loads(content[4 : 4 + size])
    return Archive(
        index["unicode_version"], index["formats"], index["numbers"], index["categories"], content[4 + size :]
    )


def stored_texts(name: str) -> CharAutomaton:
    """The texts of a format; KeyError if the file has no such format."""
    found = archive()
    entry = found.formats[name]
    return _unpacked_texts(*_arrays(found.body, entry["texts"]))


def stored_json_strings(name: str, *, key: str) -> ByteAutomaton:
    """The JSON strings of a format; KeyError if the file has no such format. ``key``: see ``ByteAutomaton``."""
    found = archive()
    return _unpacked_bytes(_arrays(found.body, found.formats[name]["json"]), key)


def stored_number(key: str) -> ByteAutomaton | None:
    """The number automaton of a key, if the file has it."""
    found = archive()
    place = found.numbers.get(key)
    return None if place is None else _unpacked_bytes(_arrays(found.body, place), key)


def stored_categories(unicode_version: str) -> dict[str, CharSet] | None:
    """The characters of each general category, if the file has those of this version of Unicode."""
    found = archive()
    if unicode_version != found.unicode_version:
        return None
    names, place = found.categories
    which, lengths = _arrays(found.body, place)
    ends = np.cumsum(lengths)
    categories: dict[str, CharSet] = {}
    for index, name in enumerate(names):
        mine = which == index
        last = ends[mine]
        spans = zip((last - lengths[mine]).tolist(), (last - 1).tolist(), strict=True)
        categories[name] = CharSet.from_ranges(spans)  # without surrogates, and joined where planes meet
    return categories


def write(
    path: Path,
    formats: Iterable[str],
    texts: Callable[[str], CharAutomaton],
    spell: Callable[[CharAutomaton], ByteAutomaton],
    numbers: Iterable[ByteAutomaton],
    categories: Sequence[tuple[str, int]],
    *,
    unicode_version: str,
) -> None:
    """Build some formats and write them, some numbers and categories (the runs of all code points) to the file."""
    body = bytearray()

    def put(arrays: Sequence[Int32Array]) -> list[Any]:
        start = len(body)
        flat = np.concatenate([array.ravel() for array in arrays]).astype("<i4")
        body.extend(zlib.compress(flat.view(np.uint8).reshape(-1, 4).T.tobytes(), 9))
        return [start, len(body), [array.size for array in arrays]]

    index: dict[str, dict[str, Any]] = {}
    for name in formats:
        automaton = texts(name)
        index[name] = {"texts": put(_packed_texts(automaton)), "json": put(_packed_bytes(spell(automaton)))}
    places = {automaton.key: put(_packed_bytes(automaton)) for automaton in numbers}
    names = list(dict.fromkeys(name for name, _ in categories))
    runs = [np.array([names.index(name) for name, _ in categories]), np.array([length for _, length in categories])]
    content = {
        "unicode_version": unicode_version,
        "formats": index,
        "numbers": places,
        "categories": (names, put(runs)),
    }
    head = json.dumps(content, separators=(",", ":")).encode()
    path.write_bytes(len(head).to_bytes(4, "little") + head + body)


def _arrays(body: bytes, place: tuple[int, int, list[int]]) -> list[Int32Array]:
    start, end, sizes = place
    planes = np.frombuffer(zlib.decompress(body[start:end]), np.uint8).reshape(4, -1)
    flat = np.ascontiguousarray(planes.T).view("<i4").ravel().astype(np.int32, copy=False)
    found: list[Int32Array] = []
    at = 0
    for size in sizes:
        found.append(flat[at : at + size])
        at += size
    return found


def _packed_texts(automaton: CharAutomaton) -> tuple[Int32Array, ...]:
    """Edges per state; label, target, operation, bound of each edge by column; ranges per label; lows, highs."""
    labels: dict[CharSet, int] = {}
    edges = [
        (labels.setdefault(edge.label, len(labels)) if edge.target != MATCH else -1, *edge[1:])
        for state in automaton.states
        for edge in state
    ]
    assert automaton.deterministic
    return (
        np.array([len(state) for state in automaton.states], np.int32),
        np.array(edges, np.int32).T,
        np.array([len(label.ranges) for label in labels], np.int32),
        np.array([span for label in labels for span in label.ranges], np.int32).T,
    )


def _unpacked_texts(counts: Int32Array, edges: Int32Array, sizes: Int32Array, ranges: Int32Array) -> CharAutomaton:
    lows, highs = ranges.reshape(2, -1).tolist()
    spans = list(zip(lows, highs, strict=True))
    labels: list[CharSet] = []
    at = 0
    for size in sizes.tolist():
        labels.append(CharSet(tuple(spans[at : at + size])))
        at += size
    labels.append(NOTHING)  # number -1
    columns = edges.reshape(4, -1).tolist()
    made = [Edge(labels[label], target, op, bound) for label, target, op, bound in zip(*columns, strict=True)]
    states: list[tuple[Edge, ...]] = []
    at = 0
    for count in counts.tolist():
        states.append(tuple(made[at : at + count]))
        at += count
    return CharAutomaton(tuple(states), deterministic=True)


def _packed_bytes(automaton: ByteAutomaton) -> tuple[Int32Array, ...]:
    lows, highs, targets = automaton.positions.T
    indices, ops, bounds = automaton.entries.T
    differences = [np.diff(array, prepend=0) for array in (lows, targets, indices)]
    return (differences[0], highs - lows, differences[1], np.diff(automaton.offsets), differences[2], ops, bounds)


def _unpacked_bytes(arrays: Sequence[Int32Array], key: str) -> ByteAutomaton:
    lows, widths, targets, counts, indices, ops, bounds = arrays
    lows = np.cumsum(lows)
    return ByteAutomaton(
        positions=np.stack([lows, lows + widths, np.cumsum(targets)], axis=1).astype(np.int32),
        offsets=np.cumsum(np.append(0, counts)).astype(np.int32),
        entries=np.stack([np.cumsum(indices), ops, bounds], axis=1).astype(np.int32),
        key=key,
    )
