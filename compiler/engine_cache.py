"""Engines of Lark grammars on disk: what was built for one vocabulary is there again in the next process.

One file per grammar and vocabulary, in the folder of the mask cache, named by the vocabulary's fingerprint and a hash
of all that the engine depends on: the grammar (see ``grammar_cache``), the sources of compiler and kernels. It holds
the grammar and the engine's image, so nothing is compiled, and masks that were known are known. Files are mapped
privately, never changed, and written by ``GrammarCompiler.save_cache`` alone: for an engine that was warmed up; else,
as long as it is small, for one that is not on disk yet or has grown to twice the size of what is. The oldest files go
when there are too many or they are too large. A file that cannot be read is a miss, never an error.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from grammar_engine.compiler.engine import Engine
from grammar_engine.compiler.engine_image import MAPPED, EngineImage, image_of_file, leaves_room
from grammar_engine.compiler.frontends.lark_source import LarkGrammar, LarkSource
from grammar_engine.compiler.grammar_cache import is_current, is_kept, name_of
from grammar_engine.compiler.grammar_codec import decode, encode
from grammar_engine.compiler.limits import Limits
from grammar_engine.compiler.section_file import keep_newest, read_sections, write_sections
from grammar_engine.kernels.arena import FINGERPRINT

FORMAT = 1
MOST_FILES = 100
MOST_BYTES = 1 << 30
MOST_UNASKED_BYTES = 1 << 25
"""Larger engines are only written if they were warmed up: that takes a second."""
_GROWTH = 2


@dataclass(frozen=True, kw_only=True, eq=False)
class StoredEngine:
    """A grammar, and an image of an engine of it."""

    grammar: LarkGrammar
    image: EngineImage


class EngineCache:
    """Engines by the sources of their grammars. ``folder``: where the files are, or None to keep none."""

    def __init__(self, folder: Path | None, fingerprint: str, limits: Limits) -> None:
        self._folder = None if folder is None else folder / "engines"
        self._fingerprint = fingerprint
        self._limits = limits
        self._sizes: dict[Path, int] = {}

    def path(self, source: LarkSource) -> Path | None:
        """The file of a source, whether or not it exists; None if it has none."""
        name = None if self._folder is None else name_of(source)
        if name is None or self._folder is None:
            return None
        return self._folder / f"{name}-{self._fingerprint[:16]}-{FINGERPRINT[:8]}-{FORMAT}.bin"

    def get(self, path: Path | None) -> StoredEngine | None:
        """The engine in a file, if it is whole, within the limits, and nothing that its grammar imports has changed."""
        if path is None:
            return None
        try:
            file = read_sections(path, MAPPED)
            if file.values["vocabulary"] != self._fingerprint:
                return None
            found = StoredEngine(grammar=decode(file.sections), image=image_of_file(file.values, file))
        except (OSError, ValueError, KeyError, TypeError):
            return None
        arena_bytes, row_bytes = found.image.arena.content.nbytes, found.image.rows.content.nbytes
        if not (leaves_room(arena_bytes, row_bytes, self._limits) and is_current(found.grammar)):
            return None
        self._sizes[path] = arena_bytes + row_bytes
        return found

    def put(self, path: Path, source: LarkSource, grammar: LarkGrammar, engine: Engine, *, warmed: bool) -> bool:
        """Write an engine, if it is worth it. ``warmed``: it was made to be written."""
        size, known = engine.image_bytes, self._sizes.get(path, 0)
        if not engine.leaves_room() or not is_kept(source, grammar):
            return False
        if size <= known if warmed else size > MOST_UNASKED_BYTES or size <= _GROWTH * known:
            return False
        image = engine.image()
        values, sections = image.to_sections()
        write_sections(path, {**values, "vocabulary": self._fingerprint}, {**encode(grammar), **sections})
        self._sizes[path] = size
        keep_newest(path.parent.glob("*.bin"), most_files=MOST_FILES, most_bytes=MOST_BYTES)
        return True
