"""The decoding loop's draws on the device of the logits: nothing waits but for the tokens.

    worker thread, side stream     masks of the new positions, packed on the device        beside the forward pass
    main stream                    wait for them (on the device);  draw;  copy tokens and scores to the host
    host                           waits for that copy, once a pass, drafted positions included

Masks go as records of a ``DeviceMaskStore``; those of texts that are no ``Matcher`` go whole, through pinned memory.
Tokens are drawn by a ``FusedSampler`` whose step is the number of the token in its text: so a row draws the same
whatever the batch, with or without drafts, and what is drawn behind a draft that fails changes nothing. A token that
the budget refuses is drawn again from the same noise without it, which is a draw from the others: perturbed logits are
in the order of draws without replacement (Plackett 1975).
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from grammar_engine.device.mask_store import DeviceMaskStore
from grammar_engine.draws import Choice
from grammar_engine.mask_buffer import MaskBuffer
from grammar_engine.matcher import Matcher
from grammar_engine.sampling.fused import FusedSampler

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from grammar_engine.compiler.vocabulary import Vocabulary
    from grammar_engine.requests import Row
    from grammar_engine.sampling.samplers import Greedy, Sample

Place = tuple[int, int]
"""A row of the batch, and how many drafted tokens it is behind."""


def places_of(rows: Sequence[Row]) -> list[Place]:
    """What a pass has logits for that may count: each row, and behind each of its drafted tokens."""
    return [(i, depth) for i, row in enumerate(rows) for depth in range(1 + len(row.draft))]


class DeviceMasks:
    """The masks of a pass, one row per place (see ``places_of``), packed where the logits are."""

    def __init__(self, vocabulary: Vocabulary, device: torch.device) -> None:
        """``device``: that of the logits."""
        import torch

        self._store = DeviceMaskStore(vocabulary.size, device=device)
        self._buffer = MaskBuffer((vocabulary.size + 31) // 32, device)
        self.device = device
        self._words: Any = None
        self._stream: Any = None
        self._ready: Any = None
        if device.type == "cuda":
            self._stream = torch.cuda.Stream(device)
            self._ready = torch.cuda.Event()
            self._stream.wait_stream(torch.cuda.current_stream(device))  # the table is being cleared there

    def fill(self, rows: Sequence[Row]) -> None:
        """Put the masks of these rows together; called by the worker. The matchers are at their places again behind
        it.
        """
        matchers = [row.request.matcher for row in rows]
        if not all(isinstance(matcher, Matcher) for matcher in matchers):
            self._fill_buffer(rows)
            return
        texts: list[Matcher | None] = []
        for row in rows:
            text = row.request.matcher
            assert isinstance(text, Matcher)
            texts.append(text)
            for token_id in row.draft:
                text = text.fork()
                text.accept_token(token_id)
                texts.append(text)
        with self._on_stream():
            self._words = self._store.bitmask(self._store.stage(texts))
            if self._ready is not None:
                self._ready.record(self._stream)

    def words(self) -> Tensor:
        """int32 ``(places, ceil(V / 32))``, for the current stream."""
        import torch

        if self._ready is not None:
            main = torch.cuda.current_stream(self.device)
            main.wait_event(self._ready)
            self._words.record_stream(main)
        words: Tensor = self._words
        return words

    def _fill_buffer(self, rows: Sequence[Row]) -> None:
        import torch

        count = sum(1 + len(row.draft) for row in rows)
        masks = self._buffer.begin(count)
        place = 0
        for row in rows:
            matcher = row.request.matcher
            matcher.fill_next_token_bitmask(masks, place)
            for depth, token_id in enumerate(row.draft, 1):
                matcher.accept_token(token_id)
                matcher.fill_next_token_bitmask(masks, place + depth)
            matcher.rollback(len(row.draft))
            place += 1 + len(row.draft)
        self._buffer.upload(count)
        with self._on_stream():
            there = self._buffer.rows(count)
            self._words = there if isinstance(there, torch.Tensor) else torch.from_numpy(there)
            if self._ready is not None:
                self._ready.record(self._stream)

    def _on_stream(self) -> contextlib.AbstractContextManager[object]:
        import torch

        return contextlib.nullcontext() if self._stream is None else torch.cuda.stream(self._stream)


class DeviceDraws:
    """See the module; the interface is ``grammar_engine.draws.Draws``."""

    def __init__(self, sampler: Greedy | Sample, rows: Sequence[Row], sent: DeviceMasks) -> None:
        """``rows``: all of the run. ``sent``: the masks of the passes that are to come."""
        import torch

        seeds = [_seed(row.request.seed) for row in rows]
        self._device = sent.device
        self._all = FusedSampler([sampler] * len(rows), seeds=seeds, device=self._device)
        self._sent = sent
        self._rows: list[Row] = []
        self._logits: Any = None  # (B·K, V)
        self._width = 1
        self._places: list[Place] = []
        self._number: dict[Place, int] = {}
        self._words: Any = None
        self._drawn: list[Choice] = []
        self._chosen: list[Place] = []
        self._torch = torch

    def take(self, rows: Sequence[Row], logits: Tensor) -> None:
        """See ``Draws``; the logits are not changed. Draws for all places at once."""
        self._rows = list(rows)
        self._width = logits.shape[1]
        self._logits = logits.flatten(0, 1)
        if self._logits.dtype == self._torch.float64:
            self._logits = self._logits.float()
        self._places = places_of(rows)
        self._number = {place: number for number, place in enumerate(self._places)}
        self._words = self._sent.words()
        self._drawn = self._draw(self._places, self._logits, [i * self._width + depth for i, depth in self._places])

    def choose(self, alive: Sequence[int], depth: int) -> list[Choice | None]:
        """See ``Draws``."""
        self._chosen = [(i, depth) for i in alive]
        found = [self._drawn[self._number[place]] for place in self._chosen]
        return [None if choice.token_id < 0 else choice for choice in found]

    def again(self, place: int, refused: Collection[int]) -> int | None:
        """See ``Draws``."""
        rest = self._row(place).clone()
        rest[0, list(refused)] = -math.inf
        token_id = self._draw([self._chosen[place]], rest, [0])[0].token_id
        return None if token_id < 0 else token_id

    def scored(self, place: int, token_id: int) -> Choice:
        """See ``Draws``."""
        drawn = self._drawn[self._number[self._chosen[place]]]
        row = self._row(place)[0]
        ahead = float(row[token_id].float() - row[drawn.token_id].float())
        return Choice(token_id, drawn.logprob + ahead, drawn.log_weight)

    def _row(self, place: int) -> Tensor:
        i, depth = self._chosen[place]
        at = i * self._width + depth
        row: Tensor = self._logits[at : at + 1]
        return row

    def _draw(self, places: Sequence[Place], logits: Tensor, at: Sequence[int]) -> list[Choice]:
        """A token for each place, from rows ``at`` of the logits."""
        from grammar_engine.kernels.device.backend import pinned

        torch = self._torch
        numbers = [
            list(at),
            [self._number[place] for place in places],
            [self._rows[i].index for i, _ in places],
            [self._rows[i].num_tokens + depth for i, depth in places],
        ]
        there = pinned(torch.tensor(numbers, dtype=torch.int64)).to(self._device, non_blocking=True)
        sampler = self._all.of_rows(there[2], steps=there[3])
        draws = sampler.draw(logits, self._words, indices=there[0], mask_rows=there[1])
        # float64 holds every token id; one copy, the only wait.
        results = torch.stack([draws.token_ids.double(), draws.logprobs.double(), draws.log_z.double()]).tolist()
        return [Choice(int(token), logprob, weight) for token, logprob, weight in zip(*results, strict=True)]


def _seed(seed: int | None) -> int:
    import torch

    return torch.Generator().seed() >> 1 if seed is None else seed
