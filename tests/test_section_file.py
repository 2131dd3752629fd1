"""Files of sections: arrays come back, damage anywhere is noticed, writing is atomic, the newest are kept."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from grammar_engine.compiler.memory import reserve
from grammar_engine.compiler.section_file import DamagedFileError, keep_newest, read_sections, write_sections

ARRAYS = {
    "large": np.arange(70_000, dtype=np.int32),
    "empty": np.zeros(0, np.int32),
    "small": np.array([7, -1], np.int32),
}


def test_arrays_come_back(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "file.bin"
    write_sections(path, {"a": [1, None, "ü"]}, ARRAYS)
    found = read_sections(path, ["large"])
    assert found.values == {"a": [1, None, "ü"]}
    assert list(found.sections) == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert found.sections[name].dtype == np.int32
        assert np.array_equal(found.sections[name], array)
    assert [entry.name for entry in path.parent.iterdir()] == ["file.bin"]


def test_arrays_that_begin_with_a_section_are_private(tmp_path: Path) -> None:
    path = tmp_path / "file.bin"
    write_sections(path, None, ARRAYS)
    whole = path.read_bytes()
    template = read_sections(path, ["large"]).templates["large"]
    array = reserve(100_000, template)
    assert np.array_equal(array[:70_000], ARRAYS["large"])
    assert not array[70_000:].any()
    array[:] = -1
    assert path.read_bytes() == whole
    assert np.array_equal(reserve(100_000, template)[:70_000], ARRAYS["large"])
    write_sections(path, None, {"large": np.zeros(9, np.int32)})  # what was read before is another file
    assert np.array_equal(reserve(100_000, template)[:70_000], ARRAYS["large"])


def test_damage_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "file.bin"
    write_sections(path, {"value": 1}, ARRAYS)
    whole = path.read_bytes()
    begin = whole.index(ARRAYS["large"][:100].tobytes())
    places = [0, 9, 20, begin, begin + 4 * 8192, begin + 4 * 69_999, whole.rindex(ARRAYS["small"].tobytes())]
    for place in places:
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(DamagedFileError):
            read_sections(path)
    page = whole[begin : begin + 32768]
    swapped = whole[:begin] + whole[begin + 32768 : begin + 65536] + page + whole[begin + 65536 :]
    for damaged in (b"", whole[:5], whole[:100], whole[:-1], whole[: begin + 50], swapped):
        path.write_bytes(damaged)
        with pytest.raises(DamagedFileError):
            read_sections(path)
    path.write_bytes(whole)
    assert read_sections(path).values == {"value": 1}


def test_what_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "file.bin"
    with pytest.raises(TypeError):
        write_sections(path, {"value": object()}, ARRAYS)
    assert list(tmp_path.iterdir()) == []


def test_the_newest_are_kept(tmp_path: Path) -> None:
    paths = [tmp_path / str(number) for number in range(6)]
    for number, path in enumerate(paths):
        path.write_bytes(b"x" * 100)
        os.utime(path, (number, number))
    keep_newest([*paths, tmp_path / "gone"], most_files=4, most_bytes=1000)
    assert [path.exists() for path in paths] == [False, False, True, True, True, True]
    keep_newest(paths, most_files=4, most_bytes=250)
    assert [path.exists() for path in paths] == [False, False, False, False, True, True]
