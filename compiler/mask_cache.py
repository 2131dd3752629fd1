"""The mask store on disk: rows that many grammars share survive the process.

One file per vocabulary, named by the hash of its token bytes, in the user's cache folder. It holds walks of *keyed*
automata only (JSON strings, numbers, formats: see ``MaskStore``), as one .npz with a JSON index; a file that cannot be
read is a miss, never an error, because everything in it can be computed again.
"""

from __future__ import annotations

import json
import os
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import platformdirs

from grammar_engine.compiler.mask_store import MaskStore, StoredWalk

if TYPE_CHECKING:
    from grammar_engine.compiler.vocabulary import Vocabulary

FORMAT = 1  # raise when walks, signatures or automaton keys change their meaning


class MaskCache:
    """Loads a vocabulary's walks into a store, and saves them. ``cache_dir``: see ``GrammarCompiler``."""

    def __init__(self, vocabulary: Vocabulary, store: MaskStore, cache_dir: str | os.PathLike[str] | None) -> None:
        self._vocabulary = vocabulary
        self._store = store
        if cache_dir is None:
            cache_dir = os.environ.get("GRAMMAR_ENGINE_CACHE_DIR")
        if cache_dir is None:
            cache_dir = platformdirs.user_cache_dir("grammar-engine")
        self._folder = Path(cache_dir) if str(cache_dir) else None

    @property
    def path(self) -> Path | None:
        if self._folder is None:
            return None
        return self._folder / "masks" / f"{self._vocabulary.fingerprint[:32]}-{FORMAT}.npz"

    def load(self) -> int:
        """Read the file if there is one; the number of walks found."""
        path = self.path
        if path is None or not path.is_file():
            return 0
        try:
            with np.load(path, allow_pickle=False) as archive:
                index = json.loads(bytes(archive["index"]).decode())
                for number, item in enumerate(index):
                    walk = StoredWalk(
                        row=archive[f"row{number}"] if item["row"] else None,
                        tokens=archive[f"tokens{number}"],
                        exit_nodes=archive[f"nodes{number}"],
                        exit_groups=archive[f"groups{number}"],
                        witnesses=tuple(bytes.fromhex(text) for text in item["witnesses"]),
                    )
                    self._store.walks.put(_signature(item["signature"]), walk)
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return 0
        return len(index)

    def save(self) -> int:
        """Write the store's walks (atomically: readers see the old file or the new one); their number."""
        path = self.path
        if path is None:
            return 0
        arrays: dict[str, Any] = {}
        index = []
        for number, (signature, walk) in enumerate(self._store.walks.items()):
            if walk.row is not None:
                arrays[f"row{number}"] = walk.row
            arrays[f"tokens{number}"] = walk.tokens
            arrays[f"nodes{number}"] = walk.exit_nodes
            arrays[f"groups{number}"] = walk.exit_groups
            index.append(
                {
                    "signature": list(signature),
                    "row": walk.row is not None,
                    "witnesses": [witness.hex() for witness in walk.witnesses],
                }
            )
        arrays["index"] = np.frombuffer(json.dumps(index).encode(), np.uint8)
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".tmp", delete=False) as file:
            np.savez(file, **arrays)
        os.replace(file.name, path)
        return len(index)


def _signature(value: list[Any]) -> tuple[object, ...]:
    return tuple(tuple(part) if isinstance(part, list) else part for part in value)
