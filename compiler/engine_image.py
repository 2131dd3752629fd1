"""Images of engines: all that an engine has built, in a form that another engine begins with.

Addresses in an arena are offsets, so an image is the arena's used part, the rows of masks, and the little that the
driver knows beside them. An engine of the same grammar and vocabulary that begins with an image has every mask that had
been asked for before the image was taken. Only engines whose rows are all their own have one (``Engine.portable``).

A file holds one image, its arena and rows in sections of their own, which are mapped: engines that begin with it share
its pages until they write to them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from grammar_engine.compiler.limits import Limits
from grammar_engine.compiler.memory import Template
from grammar_engine.compiler.section_file import SectionFile
from grammar_engine.compiler.terminal_writer import KeyedAutomaton, Loop

Int32Array = npt.NDArray[np.int32]
Signature = tuple[object, ...]

MAPPED = ("arena", "rows")
MOST_IMAGE_BYTES = 1 << 28
"""An engine that has grown larger is not kept on disk."""


def leaves_room(arena_bytes: int, row_bytes: int, limits: Limits, *, share: float = 1) -> bool:
    """May engines begin with an image of this size, or of ``share`` of what may be? It is no larger than is kept, takes
    at most a quarter of the arena's limit, and leaves some rows free.
    """
    return (
        arena_bytes + row_bytes <= MOST_IMAGE_BYTES * share
        and arena_bytes <= limits.arena_bytes * share / 4
        and row_bytes <= limits.mask_bytes * share * 3 / 4
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class EngineImage:
    """arena, rows: their used parts, rows as int32. start: the start position.

    terminals, nonterminals: addresses by number. keyed: the shared automata in the arena. named_rows: rows that came
    from the vocabulary's store. expansions: how many there were, for statistics.
    """

    arena: Template
    rows: Template
    start: int
    terminals: Mapping[int, int]
    nonterminals: Mapping[int, int]
    keyed: tuple[KeyedAutomaton, ...]
    named_rows: Mapping[tuple[Signature, int], int]
    expansions: int

    def to_sections(self) -> tuple[dict[str, Any], dict[str, Int32Array]]:
        """The plain values and the arrays."""
        values = {
            "start": self.start,
            "expansions": self.expansions,
            "keyed": [_data_of_keyed(keyed) for keyed in self.keyed],
            "named_rows": [[signature, rounds, row] for (signature, rounds), row in self.named_rows.items()],
        }
        sections = {
            "arena": self.arena.content,
            "rows": self.rows.content,
            "terminals_at": _pairs(self.terminals),
            "nonterminals_at": _pairs(self.nonterminals),
        }
        return values, sections


def image_of_file(values: Mapping[str, Any], file: SectionFile) -> EngineImage:
    """The image of a file that was read with MAPPED as templates; KeyError, TypeError or ValueError if it has none."""
    return EngineImage(
        arena=file.templates["arena"],
        rows=file.templates["rows"],
        start=int(values["start"]),
        terminals=_addresses(file.sections["terminals_at"]),
        nonterminals=_addresses(file.sections["nonterminals_at"]),
        keyed=tuple(_keyed_of_data(data) for data in values["keyed"]),
        named_rows={(_tuples(signature), rounds): row for signature, rounds, row in values["named_rows"]},
        expansions=int(values["expansions"]),
    )


def _pairs(addresses: Mapping[int, int]) -> Int32Array:
    return np.array([*addresses.items()], np.int32).ravel()


def _addresses(pairs: Int32Array) -> dict[int, int]:
    return dict(zip(pairs[::2].tolist(), pairs[1::2].tolist(), strict=True))


def _data_of_keyed(keyed: KeyedAutomaton) -> list[Any]:
    loop = keyed.loop
    bounds = None if loop is None else [loop.signature, loop.least, loop.most]
    return [keyed.address, keyed.digest, bounds, sorted(keyed.anything), keyed.spelling]


def _keyed_of_data(data: list[Any]) -> KeyedAutomaton:
    address, digest, bounds, anything, spelling = data
    return KeyedAutomaton(
        address=address,
        digest=digest,
        loop=None if bounds is None else Loop(signature=bounds[0], least=bounds[1], most=bounds[2]),
        anything=frozenset(map(tuple, anything)),
        spelling=spelling,
    )


def _tuples(data: Any) -> Any:
    return tuple(map(_tuples, data)) if isinstance(data, list) else data
