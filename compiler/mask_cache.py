"""The mask store on disk: rows that many grammars share survive the process.

One file per vocabulary, named by the hash of its token bytes, in the user's cache folder. It holds the walks of
*keyed* automata with wide states (JSON strings, patterns, many formats) and those of counted loops, see
``mask_store``, as one .npz with a JSON index. A compiler reads it when it is made; ``GrammarCompiler.save_cache``
writes it, nothing else does. A file that cannot be read is a miss, never an error, because everything in it can be
computed again.
"""

from __future__ import annotations

import json
import os
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import platformdirs
from grammar_engine.compiler.mask_store import CountedWalk, MaskStore, StoredWalk

if TYPE_CHECKING:
    from grammar_engine.compiler.vocabulary import Vocabulary

FORMAT = 6  # raise when walks or signatures change their meaning; automata are named by their content


def cache_folder(cache_dir: str | os.PathLike[str] | None = None) -> Path | None:
    """Where caches are, None if they are off; ``cache_dir``: see ``GrammarCompiler``."""
    if cache_dir is None:
        cache_dir = os.environ.get("GRAMMAR_ENGINE_MASK_CACHE")
    if cache_dir is None:
        cache_dir = os.environ.get("GRAMMAR_ENGINE_CACHE") or platformdirs.user_cache_dir("grammar-engine")
    return Path(cache_dir) if str(cache_dir) else None


class MaskCache:
    """Loads a vocabulary's walks into a store, and saves them. ``cache_dir``: see ``GrammarCompiler``."""

    def __init__(self, vocabulary: Vocabulary, store: MaskStore, cache_dir: str | os.PathLike[str] | None) -> None:
        self._vocabulary = vocabulary
        self._store = store
        self._folder = cache_folder(cache_dir)
        self._kept = 0

    @property
    def folder(self) -> Path | None:
        """Where caches are; None if they are off."""
        return self._folder

    @property
    def path(self) -> Path | None:
        """The vocabulary's file, whether or not it exists; None if the cache is off."""
        if self._folder is None:
            return None
        return self._folder / "masks" / f"{self._vocabulary.fingerprint[:32]}-{FORMAT}.npz"

    def load(self) -> int:
        """Read the file if there is one; the number of walks found."""
        path = self.path
        if path is None or not path.is_file():
            return 0
        try:
            # numpy leaves a file that it opened itself open when the content is damaged.
            with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
                index = json.loads(bytes(archive["index"]).decode())
                for number, item in enumerate(index):
                    signature = _signature(item["signature"])
                    if item["kind"] == "counted":
                        words = (self._vocabulary.size + 31) // 32
                        self._store.counted.put(signature, _read_counted(archive, number, words))
                    else:
                        self._store.walks.put(signature, _read_walk(archive, number, item))
        except (OSError, ValueError, KeyError, EOFError, NotImplementedError, zipfile.BadZipFile):
            return 0
        self._kept = len(index)
        return len(index)

    def save(self) -> int:
        """Write the store's walks, if any is new (atomically: readers see the old file or the new one).

        Returns how many are kept.
        """
        path = self.path
        number_of_walks = len(self._store.walks.items()) + len(self._store.counted.items())
        if path is None or number_of_walks == self._kept:
            return self._kept
        arrays: dict[str, Any] = {}
        index: list[dict[str, Any]] = []
        for signature, walk in self._store.walks.items():
            number = len(index)
            if walk.row is not None:
                arrays[f"row{number}"] = walk.row
            arrays[f"tokens{number}"] = walk.tokens
            for group, (_, nodes) in enumerate(walk.exits):
                arrays[f"nodes{number}_{group}"] = nodes
            item = {"kind": "keyed", "signature": list(signature), "row": walk.row is not None}
            index.append(item | {"witnesses": [witness.hex() for witness, _ in walk.exits]})
        for signature, counted in self._store.counted.items():
            number = len(index)
            arrays[f"tokens{number}"] = counted.tokens
            arrays[f"rounds{number}"] = counted.token_rounds
            arrays[f"nodes{number}"] = counted.exit_nodes
            arrays[f"exits{number}"] = counted.exit_rounds
            index.append({"kind": "counted", "signature": list(signature)})
        arrays["index"] = np.frombuffer(json.dumps(index).encode(), np.uint8)
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".tmp", delete=False) as file:
            np.savez(file, **arrays)
        Path(file.name).replace(path)
        self._kept = len(index)
        return len(index)


def _read_walk(archive: Mapping[str, Any], number: int, item: dict[str, Any]) -> StoredWalk:
    return StoredWalk(
        row=archive[f"row{number}"] if item["row"] else None,
        tokens=archive[f"tokens{number}"],
        exits=tuple(
            (bytes.fromhex(witness), archive[f"nodes{number}_{group}"])
            for group, witness in enumerate(item["witnesses"])
        ),
    )


def _read_counted(archive: Mapping[str, Any], number: int, words: int) -> CountedWalk:
    return CountedWalk(
        tokens=archive[f"tokens{number}"],
        token_rounds=archive[f"rounds{number}"],
        exit_nodes=archive[f"nodes{number}"],
        exit_rounds=archive[f"exits{number}"],
        words=words,
    )


def _signature(value: list[Any]) -> tuple[object, ...]:
    return tuple(tuple(part) if isinstance(part, list) else part for part in value)
