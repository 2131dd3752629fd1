"""Compiled Lark grammars on disk: loading and analyzing one takes from tenths of a second to seconds.

One file per grammar and options, in the folder of the mask cache, named by a hash of everything that the result depends
on but imported files: text, path, options, versions of Lark, regex and Python, our own sources. Imported files are
listed in it with their hashes, and compared. A file that cannot be read is a miss, never an error.

Files are written by ``GrammarCompiler.save_cache`` alone, as masks are; the oldest go when there are too many.
"""

from __future__ import annotations

import hashlib
import json
import platform
import tempfile
import threading
import zipfile
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from grammar_engine.compiler.frontends.lark_source import LarkGrammar, LarkSource
from grammar_engine.compiler.grammar_codec import decode, encode

FORMAT = 1
MOST_FILES = 100


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
            # numpy leaves a file that it opened itself open when the content is damaged.
            with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
                grammar = decode(json.loads(archive["data"].tobytes()), archive["ints"])
        except (OSError, ValueError, KeyError, TypeError, EOFError, NotImplementedError, zipfile.BadZipFile):
            return None
        return grammar if all(_hash_of_file(at) == known for at, known in grammar.imported) else None

    def put(self, source: LarkSource, grammar: LarkGrammar) -> None:
        """Keep a grammar until ``save``. (What a text without a path imports depends on the process: not kept.)"""
        path = self._path(source)
        if path is not None and not (grammar.imported and source.path is None):
            with self._lock:
                self._fresh[path] = grammar

    def save(self) -> None:
        """Write the grammars that are new (atomically: readers see no half of a file)."""
        with self._lock:
            fresh, self._fresh = self._fresh, {}
        for path, grammar in fresh.items():
            data, ints = encode(grammar)
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".tmp", delete=False) as file:
                np.savez(file, data=np.frombuffer(json.dumps(data).encode(), np.uint8), ints=ints)
            Path(file.name).replace(path)
        if fresh and self._folder is not None:
            files = sorted(self._folder.glob("*.npz"), key=_age)
            for path in files[:-MOST_FILES]:
                path.unlink(missing_ok=True)

    def _path(self, source: LarkSource) -> Path | None:
        """The file of a source, whether or not it exists; None if it has none."""
        postlex = _plain(source.postlex)
        if self._folder is None or postlex is None:
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
        return self._folder / f"{hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:40]}-{FORMAT}.npz"


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
    versions: list[Any] = [platform.python_version()]
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


def _age(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
