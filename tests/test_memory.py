"""Arrays that begin alike share memory until one is written to, and give it back when they are gone."""

from __future__ import annotations

import gc
from pathlib import Path

import numpy as np
import pytest
from grammar_engine.compiler import memory
from grammar_engine.compiler.memory import Template, longer, reserve


@pytest.mark.parametrize("can_map", [True, False])
def test_arrays_that_begin_alike(monkeypatch: pytest.MonkeyPatch, can_map: bool) -> None:
    if not can_map:
        monkeypatch.setattr(memory, "_CAN_MAP", False)
    content = np.arange(5000, dtype=np.int32)
    template = Template(content)
    assert template.is_mapped == (can_map and memory._CAN_MAP)
    first, second = reserve(1 << 20, template), reserve(1 << 20, template)
    for array in (first, second):
        assert len(array) == 1 << 20
        assert (array[:5000] == content).all()
        assert not array[5000:].any()
    first[:6000] = -1
    assert (second[:5000] == content).all()
    assert not second[5000:].any()
    assert (reserve(8192, template)[:5000] == content).all()
    del template
    gc.collect()
    assert (second[:5000] == content).all()


def test_memory_is_given_back() -> None:
    def mappings() -> int:
        with Path("/proc/self/maps").open() as maps:
            return sum(1 for _ in maps)

    if not memory._CAN_MAP:
        pytest.skip("memory is not mapped here")
    template = Template(np.ones(100_000, np.int32))
    before = mappings()
    arrays = [reserve(1 << 20, template) for _ in range(50)]
    views = [array[10:20] for array in arrays]
    del arrays
    gc.collect()
    assert mappings() > before + 50
    assert all((view == 1).all() for view in views)
    del views
    gc.collect()
    assert mappings() <= before + 5


def test_an_array_smaller_than_its_beginning_is_refused() -> None:
    with pytest.raises(ValueError, match="broadcast"):
        reserve(1024, Template(np.ones(5000, np.int32)))


@pytest.mark.parametrize("can_map", [True, False])
def test_memory_with_room_grows_in_place(monkeypatch: pytest.MonkeyPatch, can_map: bool) -> None:
    if not can_map:
        monkeypatch.setattr(memory, "_CAN_MAP", False)
    template = Template(np.arange(3000, dtype=np.int32))
    first = reserve(4096, template, room=1 << 18)
    first[4000] = -1
    grown = longer(first, 1 << 17)
    assert len(grown) == 1 << 17
    assert (grown[:4096] == first).all()
    assert grown[4000] == -1
    assert not grown[4096:].any()
    assert np.shares_memory(first, grown) == memory._CAN_MAP
    # Beyond the room there is a copy; a view of another shape is still the same memory.
    assert (longer(grown, 1 << 19)[:4096] == first).all()
    rows = grown.view(np.uint32).reshape(64, -1)
    assert np.shares_memory(longer(rows.reshape(-1).view(np.int32), 1 << 18), first) == memory._CAN_MAP
