"""A grammar with finitely many positions as an automaton over tokens: state × class of tokens → state, masks of states.

Regular expressions, choices and schemas without recursion have finitely many positions. They are listed byte by byte,
then walked token by token from the start, so that states are positions between tokens:

    steps[P, b]  := step(P, b) for every position P that bytes lead to
    δ(s, t)      := the position behind the bytes of t; END for a stop id where the text may end
    classes      := tokens with equal columns of δ, found by splitting classes state by state

The table is S × C numbers instead of S × V: of 128,000 tokens, few behave differently. Masks are rows of a packed
table, each kept once. That is all that a GPU needs to follow a text (``grammar_engine.device``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from grammar_engine.compiler.errors import LimitExceededError, UnsupportedGrammarError
from grammar_engine.compiler.mask_store import bitmask_of
from grammar_engine.kernels.export.token_walks import refine, tokens_from

if TYPE_CHECKING:
    from grammar_engine.compiler.compiled import CompiledGrammar

Int32Array = npt.NDArray[np.int32]

START = 0
FORBIDDEN = -1
MAX_POSITIONS = 1 << 15
MAX_TABLE_BYTES = 256 << 20


@dataclass(frozen=True, kw_only=True, eq=False)
class TokenAutomaton:
    """S states, V tokens, C classes, M masks of W words. The start is state 0.

    transitions:   int16 or int32 ``(S, C)``: the next state, −1 where the token is not allowed.
    token_classes: int32 ``(V,)``: the column of each token.
    mask_rows:     int32 ``(S,)``: the row of each state in ``masks``.
    masks:         uint32 ``(M, W)``: what ``Matcher.fill_next_token_bitmask`` writes.
    accepting:     bool ``(S,)``: the text may end here (and in ``end`` has).
    end:           the state behind a stop id, from which nothing leads on; its mask is the stop ids.
    """

    transitions: npt.NDArray[np.signedinteger[Any]]
    token_classes: Int32Array
    mask_rows: Int32Array
    masks: npt.NDArray[np.uint32]
    accepting: npt.NDArray[np.bool_]
    end: int

    @property
    def num_states(self) -> int:
        """S, ``end`` included."""
        return len(self.accepting)

    @property
    def nbytes(self) -> int:
        """Bytes of memory."""
        arrays = (self.transitions, self.token_classes, self.mask_rows, self.masks, self.accepting)
        return sum(array.nbytes for array in arrays)


def token_automaton(
    compiled: CompiledGrammar, *, max_positions: int = MAX_POSITIONS, max_table_bytes: int = MAX_TABLE_BYTES
) -> TokenAutomaton:
    """Write out a grammar's automaton.

    Takes some milliseconds per state that allows much of the vocabulary, less for others.

    Args:
        compiled: the grammar.
        max_positions: positions that bytes may lead to. A recursive grammar has no end of them.
        max_table_bytes: of transitions and masks, each.

    Raises:
        LimitExceededError: there are more positions, or the tables would be larger.
        UnsupportedGrammarError: what the grammar allows depends on more than the position (``uniqueItems``, names of
            additional properties; see ``compiler.guard``).
    """
    _refuse_guarded(compiled)
    steps, accepting = _byte_steps(compiled, max_positions)
    _refuse_guarded(compiled)  # what is guarded is known once every position has been visited
    return _Writer(compiled, max_table_bytes).write(steps, accepting)


def _refuse_guarded(compiled: CompiledGrammar) -> None:
    asked = compiled.grammar.guarding
    if asked is not None and (asked.names or asked.distinct):
        raise UnsupportedGrammarError(
            "a token automaton of a grammar whose texts need a memory",
            place="unique items" if asked.distinct else "names of additional properties, none of which may stand twice",
            advice="Use a Matcher, with a DeviceMaskStore if masks should be applied on a GPU.",
        )


def _byte_steps(compiled: CompiledGrammar, max_positions: int) -> tuple[Int32Array, npt.NDArray[np.bool_]]:
    """The automaton over bytes: int32 ``(N, 256)``, and which of its states are accepting. The start is state 0."""
    engine = compiled.engine
    every_byte = np.arange(256, dtype=np.int32)
    order = [engine.start_position]
    number = {engine.start_position: 0}
    rows = []
    for position in order:  # grows meanwhile
        row = np.full(256, FORBIDDEN, np.int32)
        for byte in engine.candidate_bytes(position):
            after = engine.advance(position, every_byte, byte, byte + 1)
            if not after:
                continue
            found = number.get(after)
            if found is None:
                if len(order) >= max_positions:
                    raise LimitExceededError(
                        "the grammar has too many positions for a token automaton, if they have an end at all",
                        limit=f"max_positions {max_positions}",
                        given="more",
                    )
                found = number[after] = len(order)
                order.append(after)
            row[byte] = found
        rows.append(row)
    return np.stack(rows), np.array([engine.is_accepting(position) for position in order])


class _Writer:
    """The tables while they are written."""

    def __init__(self, compiled: CompiledGrammar, max_table_bytes: int) -> None:
        trie = compiled.engine.context.trie
        self._trie = (trie.info, trie.end, trie.first, trie.token_ids)
        self._size = compiled.vocabulary.size
        self._words = compiled.engine.context.words
        self._stop_ids = compiled.stop_ids
        self._closing_ids = np.array(sorted(compiled.closing_ids), np.int32)
        self._max_bytes = max_table_bytes
        self._path = np.zeros(4096, np.int32)
        self._tokens = np.zeros(max(1, len(trie.token_ids)), np.int32)
        self._targets = np.zeros_like(self._tokens)
        self._masks: dict[bytes, int] = {}

    def write(self, steps: Int32Array, accepting: npt.NDArray[np.bool_]) -> TokenAutomaton:
        """Two rounds over the states: which tokens differ, then where each class leads."""
        classes, num_classes = self._first_classes()
        sizes = np.zeros(self._size + 1, np.int32)
        sizes[:num_classes] = np.bincount(classes, minlength=num_classes)
        number = np.full(len(steps), FORBIDDEN, np.int32)  # of the states over bytes, those between tokens
        order, mask_rows = [0], []
        number[0] = START
        for state in order:  # grows meanwhile
            tokens, targets = self._from(steps, state)
            mask_rows.append(self._mask(tokens, stops=bool(accepting[state])))
            slots = np.empty((1 << (2 * len(tokens) + 2).bit_length(), 3), np.int64)
            num_classes = refine(classes, sizes, num_classes, tokens, targets, len(tokens), slots)
            for target in np.unique(targets).tolist():
                if number[target] < 0:
                    number[target] = len(order)
                    order.append(target)
        end = len(order)
        mask_rows.append(self._mask(self._tokens[:0], stops=True))
        dtype = np.int16 if end < 1 << 15 else np.int32
        self._check("transitions", (end + 1) * num_classes * np.dtype(dtype).itemsize)
        transitions = np.full((end + 1, num_classes), FORBIDDEN, dtype)
        for row, state in zip(transitions, order, strict=False):
            tokens, targets = self._from(steps, state)
            after = number[targets]
            if len(self._closing_ids):
                after[accepting[targets] & np.isin(tokens, self._closing_ids)] = end
            if accepting[state]:
                stops = classes[self._stop_ids]
                row[stops] = np.where(row[stops] < 0, end, row[stops])  # one that leads on does not end the text here
            row[classes[tokens]] = after  # (a stop id that the grammar has here is read first)
        return TokenAutomaton(
            transitions=transitions,
            token_classes=classes,
            mask_rows=np.array(mask_rows, np.int32),
            masks=np.stack([np.frombuffer(mask, np.uint32) for mask in self._masks]),
            accepting=np.append(accepting[order], True),
            end=end,
        )

    def _first_classes(self) -> tuple[Int32Array, int]:
        """Stop ids are a class, and special tokens of the grammar that end a text where it is complete are another."""
        kinds = np.zeros(self._size, np.int32)
        kinds[self._stop_ids] = 1
        kinds[self._closing_ids] = 2
        found, classes = np.unique(kinds, return_inverse=True)
        return classes.astype(np.int32), len(found)

    def _from(self, steps: Int32Array, state: int) -> tuple[Int32Array, Int32Array]:
        """The tokens that can be read from a state over bytes, and the states behind them."""
        count = tokens_from(*self._trie, steps, state, self._path, self._tokens, self._targets)
        return self._tokens[:count], self._targets[:count]

    def _mask(self, tokens: Int32Array, *, stops: bool) -> int:
        """The row of a mask."""
        allowed = np.concatenate([tokens, self._stop_ids]) if stops else tokens
        mask = bitmask_of(allowed, self._words).tobytes()
        row = self._masks.setdefault(mask, len(self._masks))
        self._check("masks", len(self._masks) * len(mask))
        return row

    def _check(self, what: str, given: int) -> None:
        if given > self._max_bytes:
            raise LimitExceededError(
                f"the {what} of this token automaton are too many bytes",
                limit=f"max_table_bytes {self._max_bytes}",
                given=given,
            )
