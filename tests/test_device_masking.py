"""Masks on logits: numba, torch and Triton write the same bits as a loop over tokens in Python."""

from __future__ import annotations

import math
import random
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra hf")

from grammar_engine.kernels.device import masking, masking_numba, masking_reference
from grammar_engine.kernels.device.backend import as_bits

import grammar_engine as ge

DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
# Vocabulary of the mask, and how many logits there are more or fewer.
SHAPES = [(1, 0), (31, 0), (33, 5), (64, -1), (1000, 37), (4101, -100)]


def random_mask(rows: int, vocabulary: int, rng: np.random.Generator) -> Any:
    """Words of all kinds: random, empty, full; bits beyond the vocabulary too."""
    words = rng.integers(0, 1 << 32, (rows, (vocabulary + 31) // 32), dtype=np.uint32)
    words[rng.random(words.shape) < 0.3] = 0
    words[rng.random(words.shape) < 0.3] = 0xFFFFFFFF
    return torch.from_numpy(words.view(np.int32))


def random_logits(rows: int, width: int, dtype: Any, layout: str, seed: int) -> tuple[Any, Any]:
    """Logits as a view of a larger tensor, and that tensor: nothing beside the view may change."""
    generator = torch.Generator().manual_seed(seed)
    base = torch.randn(3 * rows, 2 * width + 3, generator=generator).to(dtype)
    base[0, 0], base[3, 1], base[1, 2] = math.nan, math.inf, -math.inf
    return base, view(base, rows, width, layout)


def view(base: Any, rows: int, width: int, layout: str) -> Any:
    if layout == "plain":
        return base[:rows, :width]
    if layout == "rows":
        return base[1 : 3 * rows : 3, 3 : width + 3]
    return base[:rows, : 2 * width : 2] if layout == "columns" else base.t()[:rows, : min(width, 3 * rows)]


def expected(logits: Any, mask: Any, indices: list[int], mask_rows: list[int]) -> Any:
    """Token by token."""
    result = logits.clone()
    words = mask.numpy().view(np.uint32).tolist()
    for row, number in zip(indices, mask_rows, strict=True):
        if number < 0:
            continue
        forbidden = [
            t for t in range(logits.shape[1]) if t >= 32 * mask.shape[1] or not words[number][t // 32] >> (t % 32) & 1
        ]
        result[row, forbidden] = -math.inf
    return result


def same_bits(a: Any, b: Any) -> bool:
    return a.dtype == b.dtype and torch.equal(as_bits(a), as_bits(b))


def apply_triton(rows: Any, mask: Any, indices: Any, mask_rows: Any) -> None:
    from grammar_engine.kernels.device import masking_triton

    masking_triton.apply_bitmask(as_bits(rows), rows.dtype, mask, indices, mask_rows)


def selections(rows: int) -> list[tuple[list[int] | None, list[int] | None]]:
    return [(None, None), ([rows - 1, 0], None), ([2, 0, 1], [1, -1, 3]), (None, [0, 0, -1, 2][:rows])]


@pytest.mark.parametrize("implementation", [masking_numba.apply_bitmask, masking_reference.apply_bitmask])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", ["plain", "rows", "columns", "transposed"])
def test_on_the_cpu_masks_are_those_of_a_loop_over_tokens(implementation: Any, dtype: Any, layout: str) -> None:
    rng = np.random.default_rng(1)
    for seed, (vocabulary, more) in enumerate(SHAPES):
        mask = random_mask(4, vocabulary, rng)
        for indices, mask_rows in selections(4):
            base, logits = random_logits(4, vocabulary + more, dtype, layout, seed)
            untouched = base.clone()
            chosen = indices or range(4)
            wanted = expected(logits, mask, list(chosen), list(mask_rows or chosen))
            implementation(logits, mask, tensor(indices), tensor(mask_rows))
            assert same_bits(logits, wanted)
            view(untouched, 4, vocabulary + more, layout).copy_(wanted)
            assert same_bits(base, untouched)


@pytest.mark.parametrize("layout", ["plain", "rows", "columns"])
def test_weights_of_forbidden_tokens_become_0(layout: str) -> None:
    rng = np.random.default_rng(3)
    for vocabulary, more in SHAPES:
        _, weights = random_logits(4, vocabulary + more, torch.float32, layout, vocabulary)
        mask = random_mask(4, vocabulary, rng)
        forbidden = expected(torch.zeros_like(weights), mask, [0, 1, 2, 3], [0, 1, 2, 3]).isneginf()
        wanted = torch.where(forbidden, 0.0, weights)
        masking.clear_forbidden(weights, mask)
        assert torch.equal(as_bits(weights), as_bits(wanted))
    with pytest.raises(ValueError, match="do not fit"):
        masking.clear_forbidden(torch.zeros(3, 40), torch.zeros(2, 2, dtype=torch.int32))


@pytest.mark.parametrize("dtype", DTYPES)
def test_triton_writes_the_same_bits(triton_device: Any, dtype: Any) -> None:
    rng = np.random.default_rng(2)
    for seed, (vocabulary, more) in enumerate(SHAPES):
        mask = random_mask(4, vocabulary, rng)
        for number, (indices, mask_rows) in enumerate(selections(4)):
            layout = ["plain", "rows", "columns", "transposed"][(seed + number) % 4]
            base, logits = random_logits(4, vocabulary + more, dtype, layout, seed)
            wanted, untouched = logits.clone(), base.clone()
            masking_reference.apply_bitmask(wanted, mask, tensor(indices), tensor(mask_rows))
            moved = base.to(triton_device)
            given = [None if t is None else t.to(triton_device) for t in (mask, tensor(indices), tensor(mask_rows))]
            apply_triton(view(moved, 4, vocabulary + more, layout), *given)
            view(untouched, 4, vocabulary + more, layout).copy_(wanted)
            assert same_bits(moved.cpu(), untouched)


def random_records(count: int, vocabulary: int, num_rows: int, rng: random.Random) -> Any:
    records = torch.zeros((count, masking.RECORD), dtype=torch.int32)
    for record in records[1:]:
        rows = rng.sample(range(num_rows), rng.randint(0, min(num_rows, masking.MOST_ROWS)))
        tokens = [rng.randrange(vocabulary) for _ in range(rng.choice([0, 1, 5, masking.MOST_TOKENS]))]
        record[0], record[1] = len(rows), len(tokens)
        record[masking.RECORD_ROWS : masking.RECORD_ROWS + len(rows)] = tensor(rows)
        record[masking.RECORD_TOKENS : masking.RECORD_TOKENS + len(tokens)] = tensor(tokens)
        # What stands behind is not looked at.
        record[masking.RECORD_ROWS + len(rows) : masking.RECORD_TOKENS] = 1 << 30
        record[masking.RECORD_TOKENS + len(tokens) :] = vocabulary - 1
    records[0, 0] = masking.UNCONSTRAINED
    return records


def union(table: Any, record: Any, vocabulary: int) -> set[int]:
    rows, tokens = int(record[0]), int(record[1])
    if rows == masking.UNCONSTRAINED:
        return set(range(vocabulary))
    allowed = set(record[masking.RECORD_TOKENS : masking.RECORD_TOKENS + tokens].tolist())
    for row in record[masking.RECORD_ROWS : masking.RECORD_ROWS + rows].tolist():
        words = table[row].numpy().view(np.uint32)
        allowed |= {t for t in range(vocabulary) if words[t // 32] >> (t % 32) & 1}
    return allowed


@pytest.mark.parametrize("vocabulary", [5, 96, 4101])
def test_records_are_unions_of_rows_and_tokens(triton_device: Any, vocabulary: int) -> None:
    from grammar_engine.kernels.device import masking_triton

    table = random_mask(12, vocabulary, np.random.default_rng(3))
    records = random_records(9, vocabulary, 12, random.Random(4))
    logits = torch.randn(10, vocabulary + 7)
    order = tensor([3, 0, 1, 2, 9, 8, 7, 6, 4])
    wanted = logits.clone()
    for record, row in zip(records, order.tolist(), strict=True):
        forbidden = sorted(set(range(vocabulary)) - union(table, record, vocabulary))
        wanted[row, forbidden] = -math.inf
        if int(record[0]) != masking.UNCONSTRAINED:
            wanted[row, 32 * table.shape[1] :] = -math.inf
    on_cpu = logits.clone()
    masking.apply_records(on_cpu, table, records, order)
    # Behind the vocabulary a row of the table may allow anything.
    width = vocabulary
    assert same_bits(on_cpu[:, :width], wanted[:, :width])
    moved, words = logits.to(triton_device), torch.empty((9, table.shape[1]), dtype=torch.int32, device=triton_device)
    there = [t.to(triton_device) for t in (table, records, order)]
    masking_triton.apply_records(as_bits(moved), moved.dtype, *there)
    assert same_bits(moved.cpu(), on_cpu)
    masking_triton.expand_records(there[0], there[1], words)
    again = words.cpu().clone()
    masking_reference.expand_records(table, records, again)
    assert torch.equal(words.cpu(), again)


def test_rows_lie_beyond_32_bits(triton_device: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two rows that are 2³¹ elements apart; between them 4 GB of addresses that nothing touches."""
    from grammar_engine.kernels.device import masking_triton

    if triton_device.type == "cpu":
        from triton.runtime.interpreter import GridExecutor

        # The interpreter would copy the tensor onto itself afterwards, all of it.
        monkeypatch.setattr(GridExecutor, "_restore_args_dev", lambda *_: None)
    try:
        memory = torch.empty((1 << 31) + 100, dtype=torch.int16, device=triton_device)
    except (RuntimeError, torch.OutOfMemoryError) as problem:
        pytest.skip(f"no room for 4 GB of addresses: {problem}")
    logits = memory.view(torch.float16).as_strided((2, 70), (1 << 31, 1))
    logits.fill_(1.0)
    mask = torch.tensor([[-1, -1, -1], [5, 0, 1]], dtype=torch.int32, device=triton_device)
    masking_triton.apply_bitmask(as_bits(logits), logits.dtype, mask, None, None)
    assert logits.isfinite().nonzero().tolist() == [[0, t] for t in range(70)] + [[1, 0], [1, 2], [1, 64]]
    records = torch.zeros((2, masking.RECORD), dtype=torch.int32)
    records[:, 1] = 1
    records[1, masking.RECORD_TOKENS] = 64
    masking_triton.apply_records(as_bits(logits), logits.dtype, mask, records.to(triton_device), None)
    assert logits.isfinite().nonzero().tolist() == [[0, 0], [1, 64]]
    if triton_device.type == "cpu":
        logits.fill_(1.0)
        masking_numba.apply_bitmask(logits, mask, None, None)
        assert logits.isfinite().sum() == 73


def test_the_public_function_takes_arrays_lists_and_one_row() -> None:
    mask = ge.allocate_token_bitmask(3, 40)
    mask[1] = [6, 0]
    logits = torch.zeros(3, 45)
    ge.apply_token_bitmask_inplace(logits, mask)
    assert logits[0].isfinite().sum() == 45  # the bits up to 64 are ones
    assert logits[1].isfinite().nonzero().flatten().tolist() == [1, 2]
    logits = torch.zeros(3, 45)
    ge.apply_token_bitmask_inplace(logits, torch.from_numpy(mask), indices=[1])
    assert logits.isfinite().sum(-1).tolist() == [45, 2, 45]
    one = torch.zeros(45, requires_grad=True)
    ge.apply_token_bitmask_inplace(one, mask[1:2])
    assert one.isfinite().sum() == 2
    ge.apply_token_bitmask_inplace(torch.zeros(0, 45), mask)


@pytest.mark.parametrize(
    ("logits", "mask", "indices", "error"),
    [
        (torch.zeros(2, 40, dtype=torch.int32), torch.zeros(2, 2, dtype=torch.int32), None, ValueError),
        (torch.zeros(2, 40), torch.zeros(2, 2, dtype=torch.int64), None, ValueError),
        (torch.zeros(3, 40), torch.zeros(2, 2, dtype=torch.int32), None, ValueError),
        (torch.zeros(3, 40), torch.zeros(2, dtype=torch.int32), None, ValueError),
        (torch.zeros(2, 2, 40), torch.zeros(2, 2, dtype=torch.int32), None, ValueError),
        (torch.zeros(3, 40), torch.zeros(3, 2, dtype=torch.int32), [3], IndexError),
        (torch.zeros(3, 40), torch.zeros(2, 2, dtype=torch.int32), [2], IndexError),
        (torch.zeros(3, 40), torch.zeros(3, 2, dtype=torch.int32), [-1], IndexError),
        (torch.zeros(3, 40), torch.zeros(3, 2, dtype=torch.int32), [[0]], ValueError),
        (torch.zeros(3, 40), torch.zeros(3, 4, dtype=torch.int32)[:, ::2], None, ValueError),
    ],
)
def test_what_does_not_fit_is_refused(logits: Any, mask: Any, indices: Any, error: type[Exception]) -> None:
    before = logits.clone()
    with pytest.raises(error):
        ge.apply_token_bitmask_inplace(logits, mask, indices)
    assert torch.equal(logits, before)


def tensor(values: list[int] | None) -> Any:
    return None if values is None else torch.tensor(values, dtype=torch.int64)
