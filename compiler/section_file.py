"""Files of named arrays that are mapped rather than read: what the disk caches of grammars and engines are written as.

    magic | length of the index | CRC of the index | index, in JSON | sections, each at the beginning of a page

An array is written as it lies in memory, so reading one costs its pages. The index says where sections are, and holds
whatever plain values belong to them. Each section has a checksum: sums of its blocks, as fast as memory is read, and a
CRC of those; what it is for is damage (a disk that was full, a crash), not malice. Files are written beside their place
and moved there, so that readers see no half of one, and never changed again.
"""

from __future__ import annotations

import json
import mmap
import tempfile
import zlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from grammar_engine.compiler.memory import Template

Int32Array = npt.NDArray[np.int32]

MAGIC = b"GEsect01"
_HEAD = len(MAGIC) + 8
_BLOCK = 8192
_PAGE = max(4096, mmap.ALLOCATIONGRANULARITY)


class DamagedFileError(ValueError):
    """A file that is not what was written."""


@dataclass(frozen=True, kw_only=True, eq=False)
class SectionFile:
    """A file that was read. ``values``: the plain values; ``sections``: the arrays, mapped, not to be written to.

    templates: of sections that were asked for as beginnings of other arrays, each of which is private to its owner.
    """

    values: Any
    sections: Mapping[str, Int32Array]
    templates: Mapping[str, Template]


def write_sections(path: Path, values: object, sections: Mapping[str, Int32Array]) -> None:
    """Write a file, with its folder if need be. ``values``: what JSON can hold."""
    places: dict[str, tuple[int, int, int]] = {}
    at = 0
    for name, section in sections.items():
        places[name] = (at, len(section), _checksum(section))
        at += _padded(section.nbytes)
    index = json.dumps({"values": values, "sections": places}).encode()
    begin = _padded(_HEAD + len(index))
    head = MAGIC + len(index).to_bytes(4, "little") + zlib.crc32(index).to_bytes(4, "little") + index
    path.parent.mkdir(parents=True, exist_ok=True)
    written = Path(path)
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".tmp", delete=False) as file:
        written = Path(file.name)
        try:
            file.write(head.ljust(begin, b"\0"))
            for section in sections.values():
                file.write(np.ascontiguousarray(section).data)
                file.write(b"\0" * (_padded(section.nbytes) - section.nbytes))
        except OSError:
            written.unlink(missing_ok=True)
            raise
    written.replace(path)


def read_sections(path: Path, templates: Collection[str] = ()) -> SectionFile:
    """Read a file; OSError if there is none, DamagedFileError if it is not whole."""
    with path.open("rb") as file:
        head = file.read(_HEAD)
        if len(head) < _HEAD or not head.startswith(MAGIC):
            raise DamagedFileError("no such file of sections")
        length, crc = (int.from_bytes(head[at : at + 4], "little") for at in (len(MAGIC), len(MAGIC) + 4))
        index = file.read(length)
        if len(index) < length or zlib.crc32(index) != crc:
            raise DamagedFileError("the index is damaged")
        whole = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        content = json.loads(index)
        begin = _padded(_HEAD + length)
        sections: dict[str, Int32Array] = {}
        found: dict[str, Template] = {}
        for name, (at, count, checksum) in content["sections"].items():
            if begin + at + _padded(4 * count) > len(whole):
                raise DamagedFileError("the file is cut off")
            section = np.frombuffer(whole, np.int32, count, begin + at) if count else np.zeros(0, np.int32)
            if _checksum(section) != checksum:
                raise DamagedFileError(f"section {name} is damaged")
            sections[name] = section
            if name in templates:
                found[name] = Template(section, file=file.fileno(), offset=begin + at)
    return SectionFile(values=content["values"], sections=sections, templates=found)


def keep_newest(paths: Iterable[Path], *, most_files: int, most_bytes: int) -> None:
    """Delete the oldest of some files, so that no more are left than so many, of so many bytes together."""
    found: list[tuple[float, int, Path]] = []
    for path in paths:
        try:
            status = path.stat()
        except OSError:  # another process was faster
            continue
        found.append((status.st_mtime, status.st_size, path))
    found.sort(reverse=True)
    total = 0
    for number, (_, size, path) in enumerate(found):
        total += size
        if number >= most_files or total > most_bytes:
            path.unlink(missing_ok=True)


def _padded(size: int) -> int:
    return -(-size // _PAGE) * _PAGE


def _checksum(section: Int32Array) -> int:
    """Of an array's bytes, see above."""
    words = section.view(np.uint32)
    full = len(words) - len(words) % _BLOCK
    sums = words[:full].view(np.uint64).reshape(-1, _BLOCK // 2).sum(axis=1, dtype=np.uint64)
    return zlib.crc32(words[full:].tobytes(), zlib.crc32(sums.tobytes()))
