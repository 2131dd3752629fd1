"""Compiled Lark grammars on disk: loading and analyzing one takes from tenths of a second to seconds.

One file per grammar and options, in the folder of the mask cache, named by a hash of everything that the result depends
on but imported files: text, path, options, versions of Lark, regex and Python, our own sources. Imported files are
listed in it with their hashes, and compared. A file that cannot be read is a miss, never an error.

Files are written by ``GrammarCompiler.save_cache``, as masks are, and those of shipped grammars by ``grammar-engine
warmup``; the oldest go when there are too many.
"""

from __future__ import annotations

import hashlib
import json
import platform
import sys
import threading
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from grammar_engine.compiler.frontends.lark_source import LarkGrammar, LarkSource, read_lark_source
from grammar_engine.compiler.grammar_codec import decode, encode
from grammar_engine.compiler.mask_cache import cache_folder
from grammar_engine.compiler.section_file import keep_newest, read_sections, write_sections
from grammar_engine.compiler.shipped_grammars import stored_grammar

from grammar_engine import grammars

FORMAT = 2
MOST_FILES = 100
MOST_BYTES = 1 << 28


class GrammarCache:
    """Compiled grammars by source. ``folder``: where the files are, or None to keep none."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = None if folder is None else folder / "grammars"
        self._fresh: dict[Path, LarkGrammar] = {}
        self._lock = threading.Lock()

    def get(self, source: LarkSource) -> LarkGrammar | None:
        """The grammar of a source, if it is on disk and nothing that it imports has changed."""
        path = self._path(source)
        if path is None or not path.is_file():
            return None
        try:
            grammar = decode(read_sections(path).sections)
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return grammar if is_current(grammar) else None

    def put(self, source: LarkSource, grammar: LarkGrammar) -> None:
        """Keep a grammar until ``save``."""
        path = self._path(source)
        if path is not None and is_kept(source, grammar):
            with self._lock:
                self._fresh[path] = grammar

    def save(self) -> None:
        """Write the grammars that are new (atomically: readers see no half of a file)."""
        with self._lock:
            fresh, self._fresh = self._fresh, {}
        for path, grammar in fresh.items():
            write_sections(path, None, encode(grammar))
        if fresh and self._folder is not None:
            keep_newest(self._folder.glob("*.bin"), most_files=MOST_FILES, most_bytes=MOST_BYTES)

    def _path(self, source: LarkSource) -> Path | None:
        """The file of a source, whether or not it exists; None if it has none."""
        name = None if self._folder is None else name_of(source)
        return None if name is None or self._folder is None else self._folder / f"{name}-{FORMAT}.bin"


def keep_shipped() -> int:
    """Compile the shipped Lark grammars that do not come compiled and are not on disk, and write them; how many."""
    cache = GrammarCache(cache_folder())
    if cache_folder() is None:
        return 0
    count = 0
    for name in grammars.shipped_names():
        source = read_lark_source(name)
        if stored_grammar(source) is None and cache.get(source) is None:
            from grammar_engine.compiler.frontends.lark import load_lark_grammar

            cache.put(source, load_lark_grammar(source))
            count += 1
    cache.save()
    return count


def name_of(source: LarkSource) -> str | None:
    """A hash of all that compiling a source depends on but for what it imports; None for postlexers without one."""
    postlex = _plain(source.postlex)
    if postlex is None:
        return None
    parts = [
        source.text,
        "" if source.path is None else str(Path(source.path).absolute()),
        source.start,
        source.parser,
        source.lexer,
        postlex,
        _environment(),
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:40]


def is_current(grammar: LarkGrammar) -> bool:
    """Is what it imported still the same?"""
    return all(_hash_of_file(at) == known for at, known in grammar.imported)


def is_kept(source: LarkSource, grammar: LarkGrammar) -> bool:
    """May it be written? (What a text without a path imports depends on the process.)"""
    return not (grammar.imported and source.path is None)


def _plain(postlex: object | None) -> str | None:
    """A postlexer's settings as text; None for one that is not an Indenter."""
    if postlex is None or isinstance(postlex, str):
        return json.dumps(postlex)
    from grammar_engine.compiler.errors import UnsupportedGrammarError
    from grammar_engine.compiler.frontends.lark_indentation import indentation_of

    try:
        return repr(indentation_of(postlex))
    except UnsupportedGrammarError:
        return None


@cache
def _environment() -> str:
    """What compilation depends on besides the grammar: our sources, and the packages that read grammars."""
    here = Path(__file__).parent
    digest = hashlib.sha256()
    for path in sorted(here.rglob("*.py")):
        digest.update(path.read_bytes())
    versions: list[Any] = [platform.python_version(), sys.byteorder]
    for package in ("lark", "regex"):
        try:
            versions.append(metadata.version(package))
        except metadata.PackageNotFoundError:
            versions.append(None)
    return json.dumps([digest.hexdigest(), versions])


def _hash_of_file(path: str) -> str | None:
    """As Lark hashes imported files."""
    try:
        return hashlib.sha256(Path(path).read_text(encoding="utf-8").encode()).hexdigest()
    except (OSError, UnicodeDecodeError):
        return None
