"""The shipped Lark grammars, compiled ahead, as a data file: reading one takes a hundredth of what compiling it does.

What is in the file is named by a hash of all that it depends on: the grammar's text and options, the sources of the
front end, Lark, Python and its tables of Unicode. Whatever does not fit (a grammar was edited, another Python runs) is
compiled when it is asked for. ``.ci/write_shipped_grammars.py`` writes the file.

Layout: the length of a JSON index in 4 bytes, the index, then one zlib stream for each grammar: its arrays (see
``grammar_codec``), of all their numbers the lowest bytes first, then the second ones, and so on.
"""

from __future__ import annotations

import hashlib
import json
import sys
import unicodedata
import zlib
from collections.abc import Sequence
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from grammar_engine.compiler.frontends.lark_source import LarkGrammar, LarkSource
from grammar_engine.compiler.grammar_codec import decode, encode

PATH = Path(__file__).with_name("shipped_grammars.bin")
SOURCES = (
    "assertions", "automaton", "automaton_algebra", "automaton_product", "char_automaton", "char_program",
    "char_states", "charset", "conditions", "construct", "format_store", "grammar_codec", "ir", "lalr",
    "last_character", "layout", "limits", "normalize", "python_regex", "regex_ast", "search", "spelling", "string_set",
    "unicode_classes", "utf8",
)  # fmt: skip
"""The modules that the front end imports, beside its own. (What errors say makes no difference.)"""


def stored_grammar(source: LarkSource, path: Path | None = None) -> LarkGrammar | None:
    """The grammar of a source, if it is in the file as it would be compiled now."""
    path = path or PATH
    if source.path is not None or not isinstance(source.postlex, str | None):
        return None
    try:
        entry = _index(path).get(_key(source))
        if entry is None:
            return None
        with path.open("rb") as file:
            file.seek(entry["at"])
            packed = file.read(entry["size"])
        planes = np.frombuffer(zlib.decompress(packed), np.uint8).reshape(4, -1)
        ints = np.ascontiguousarray(planes.T).view("<i4").ravel().astype(np.int32, copy=False)
        parts = np.split(ints, np.cumsum(entry["counts"]))
        return decode(dict(zip(entry["names"], parts[:-1], strict=True)))
    except (OSError, ValueError, KeyError, TypeError, zlib.error):
        return None


def write(path: Path, grammars: Sequence[tuple[LarkSource, LarkGrammar]]) -> None:
    """Write the file."""
    index: dict[str, Any] = {}
    body = b""
    for source, grammar in grammars:
        sections = encode(grammar)
        ints = np.concatenate(list(sections.values())).astype("<i4")
        packed = zlib.compress(np.ascontiguousarray(ints.view(np.uint8).reshape(-1, 4).T).tobytes(), 9)
        counts = [len(section) for section in sections.values()]
        index[_key(source)] = {"at": len(body), "size": len(packed), "names": list(sections), "counts": counts}
        body += packed
    head = json.dumps(index).encode()
    path.write_bytes(len(head).to_bytes(4, "little") + head + body)


@cache
def _index(path: Path) -> dict[str, Any]:
    """Where in the file each grammar is."""
    if not path.is_file():
        return {}
    with path.open("rb") as file:
        size = int.from_bytes(file.read(4), "little")
        found: dict[str, Any] = json.loads(file.read(size))
    return {key: entry | {"at": entry["at"] + 4 + size} for key, entry in found.items()}


def _key(source: LarkSource) -> str:
    parts = [source.text, source.start, source.parser, source.lexer, source.postlex, _environment()]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:40]


@cache
def _environment() -> str:
    """What compiling depends on besides the grammar."""
    digest = hashlib.sha256()
    here = Path(__file__).parent
    for path in (*(here / f"{name}.py" for name in SOURCES), *sorted((here / "frontends").glob("lark*.py"))):
        digest.update(path.read_bytes())
    versions = [metadata.version("lark"), list(sys.version_info[:2]), unicodedata.unidata_version]
    return json.dumps([digest.hexdigest(), versions])
