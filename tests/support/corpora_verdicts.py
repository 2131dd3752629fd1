"""Verdicts over corpora of real texts, shared by a test and a benchmark.

Texts and verdicts are those of the shared data's ``corpora`` (see its README). Texts without a verdict, and those that
are invalid by a rule beyond any context-free grammar ("early error", "not context-free"), are left out. Grammars are
compiled with a vocabulary of single bytes: verdicts do not depend on the vocabulary.
"""

from __future__ import annotations

import base64
import gzip
import json
import random
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from grammar_engine.compiler.compiled import CompiledGrammar, GrammarCompiler
from grammar_engine.compiler.vocabulary import Vocabulary

from grammar_engine.matcher import Matcher

BEYOND_GRAMMARS = ("early error", "not context-free")
MOST_BYTES = 1 << 21
"""Bytes that are matched before a grammar starts anew: what was built for texts gone by helps the next ones little."""

_CONTEXT = 70


@dataclass(kw_only=True)
class Score:
    """Verdicts of one dialect. Keys: (label, accepted). truncated: mutants cut short; alive: to their last byte."""

    verdicts: Counter[tuple[bool, bool]] = field(default_factory=Counter)
    truncated: int = 0
    alive: int = 0

    def share(self, *, label: bool) -> tuple[int, int]:
        """Right verdicts, and all, for the texts with this label."""
        right = self.verdicts[label, label]
        return right, right + self.verdicts[label, not label]


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A verdict unlike its label; ``place``: the bytes that are accepted one by one."""

    record: Mapping[str, Any]
    text: bytes
    place: int

    def __str__(self) -> str:
        before, after = self.text[max(self.place - _CONTEXT, 0) : self.place], self.text[self.place :][:_CONTEXT]
        kind = "refused, label valid" if self.record["valid"] else "accepted, label invalid"
        why = "; ".join(str(self.record[key]) for key in ("dialect", "op", "error", "note") if self.record.get(key))
        return (
            f"{self.record['id']}: {kind} ({why})\n"
            f"    {before.decode(errors='replace')!r}\n    >>> {after.decode(errors='replace')!r}"
        )


def records_of(folder: Path, name: str) -> Iterator[dict[str, Any]]:
    """The records of a corpus (in the data folder) that a grammar can be asked about."""
    with gzip.open(folder / "corpora" / f"{name}.jsonl.gz", "rt", encoding="utf-8") as file:
        for line in file:
            record = json.loads(line)
            if record["valid"] is None or any(word in record.get("note", "") for word in BEYOND_GRAMMARS):
                continue
            yield record


def bytes_of(record: Mapping[str, Any]) -> bytes:
    """The text of a record as its judge saw it: an expression of SQL behind SELECT."""
    text = base64.b64decode(record["bytes_b64"]) if "bytes_b64" in record else record["text"].encode()
    return b"SELECT " + text if record.get("kind") == "expression" else text


class Judge:
    """Verdicts of one grammar; starts it anew from time to time."""

    def __init__(self, grammar: str, *, start: str = "start") -> None:
        self._grammar, self._start = grammar, start
        tokens = [bytes([byte]) for byte in range(256)]
        self._compiler = GrammarCompiler(Vocabulary([*tokens, b""], stop_token_ids=[256]), cache_size=0, cache_dir="")
        self._matcher = Matcher(self._compiled())
        self._seen = 0

    def _compiled(self) -> CompiledGrammar:
        return self._compiler.compile_lark(self._grammar, start=self._start)

    def accepted(self, text: bytes) -> tuple[bool, bool]:
        """Is it a text of the language, and the beginning of one?"""
        self._seen += len(text)
        if self._seen > MOST_BYTES:
            self._matcher, self._seen = Matcher(self._compiled()), len(text)
        self._matcher.reset()
        alive = self._matcher.accept_bytes(text)
        return alive and self._matcher.is_accepting(), alive

    def refused_at(self, text: bytes) -> int:
        """How many bytes are accepted, ``len(text)`` if it only may not end there."""
        low, high = 0, len(text)
        while low < high:
            middle = (low + high + 1) // 2
            self._matcher.reset()
            low, high = (middle, high) if self._matcher.accept_bytes(text[:middle]) else (low, middle - 1)
        return low


def judge_corpus(
    folder: Path,
    name: str,
    judge: Judge,
    *,
    dialect: str | None = None,
    limit: int | None = None,
    by: str = "dialect",
) -> tuple[dict[str, Score], list[Difference]]:
    """The scores by dialect (or another field of the records), and every difference.

    limit: only so many records, drawn with seed 0.
    """
    records = [record for record in records_of(folder, name) if dialect in (None, record.get("dialect", ""))]
    if limit is not None:
        records = random.Random(0).sample(records, min(limit, len(records)))
    scores: dict[str, Score] = {}
    differences: list[Difference] = []
    for record in records:
        text = bytes_of(record)
        score = scores.setdefault(record.get(by, ""), Score())
        accepted, alive = judge.accepted(text)
        score.verdicts[record["valid"], accepted] += 1
        if record.get("op") == "truncate" and not record["valid"]:
            score.truncated += 1
            score.alive += alive
        if accepted != record["valid"]:
            place = len(text) if accepted else judge.refused_at(text)
            differences.append(Difference(record=record, text=text, place=place))
    return scores, differences
