"""A Lark grammar compiled by us and by Lark itself, to compare verdicts on real texts and on mutations of them."""

from __future__ import annotations

import random
import sysconfig
import time
from pathlib import Path
from typing import Any

import lark
from grammar_engine.compiler.compiled import GrammarCompiler
from grammar_engine.compiler.vocabulary import Vocabulary
from lark.indenter import PythonIndenter

from grammar_engine.matcher import Matcher

GRAMMARS = Path(lark.__file__).parent / "grammars"
MOST_BYTES = 1 << 22  # after so many a grammar starts anew: what was built for texts gone by is not needed any more


class Both:
    """Verdicts of both on the same texts. seconds: ours and Lark's, of this thread."""

    def __init__(self, source: str, **options: Any) -> None:
        """options: as for ``lark.Lark``, parser="lalr"."""
        self._source = source
        self._options = options
        self._oracle = lark.Lark(source, parser="lalr", **options)
        self._read = MOST_BYTES
        self.seconds = [0.0, 0.0]

    def verdicts(self, text: str) -> tuple[bool, bool]:
        """Ours and Lark's."""
        data = text.encode()
        started = time.thread_time()
        if self._read + len(data) > MOST_BYTES:
            tokens = [bytes([byte]) for byte in range(256)]
            compiler = GrammarCompiler(Vocabulary([*tokens, b""], stop_token_ids=[256]), cache_size=1, cache_dir="")
            self._matcher = Matcher(compiler.compile_lark(self._source, **self._options))
            self._read = 0
        self._read += len(data)
        self._matcher.reset()
        ours = (not data or self._matcher.accept_bytes(data)) and self._matcher.is_accepting()
        between = time.thread_time()
        try:
            self._oracle.parse(text)
            theirs = True
        except (lark.exceptions.LarkError, AssertionError, IndexError):  # (the last two are of its Indenter)
            theirs = False
        self.seconds[0] += between - started
        self.seconds[1] += time.thread_time() - between
        return ours, theirs


def python_grammar() -> Both:
    """Lark's own python.lark."""
    source = (GRAMMARS / "python.lark").read_text(encoding="utf-8")
    return Both(source, start="file_input", postlex=PythonIndenter())


def lark_grammar_of_lark() -> Both:
    """Lark's own lark.lark."""
    return Both((GRAMMARS / "lark.lark").read_text(encoding="utf-8"))


def library_files(most_bytes: int, folder: Path | None = None) -> list[Path]:
    """The files of the standard library (or of another folder) that are UTF-8 and not larger, in order."""
    found: list[Path] = []
    for path in sorted((folder or Path(sysconfig.get_paths()["stdlib"])).rglob("*.py")):
        if "site-packages" in path.parts or path.stat().st_size > most_bytes:
            continue
        try:
            path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        found.append(path)
    return found


def mutation(text: str, rng: random.Random) -> str:
    """The text with one small thing changed: characters gone, doubled, swapped, put in, a line gone or indented."""
    if not text:
        return text
    at = rng.randrange(len(text))
    width = rng.randint(1, 4)
    kind = rng.randrange(7)
    if kind == 0:
        return text[:at] + text[at + width :]
    if kind == 1:
        return text[:at] + text[at : at + width] + text[at:]
    if kind == 2:
        return text[:at] + text[at + 1 : at + 2] + text[at : at + 1] + text[at + 2 :]
    if kind == 3:
        return text[:at] + rng.choice("()[]{}:;,.=+-*/\"'#\\\n\t 0aé$?|") + text[at:]
    if kind == 4:
        return text[:at]
    lines = text.splitlines(keepends=True)
    line = rng.randrange(len(lines))
    if kind == 5:
        del lines[line]
    else:
        lines[line] = rng.choice([" ", "    ", "\t"]) + lines[line]
    return "".join(lines)


def ends_in_comment(text: str) -> bool:
    """The one documented difference: what a comment at the very end, without a line feed, means for indentation."""
    return "#" in text.rpartition("\n")[2]
