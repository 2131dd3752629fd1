"""Compile every Triton kernel for a GPU that need not be there; print the PTX of each as JSON.

A process of its own, without TRITON_INTERPRET: the interpreter runs Python, and takes much that the compiler refuses.
"""

from __future__ import annotations

import importlib
import json
import sys
from typing import Any

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

DEVICE = "grammar_engine.kernels.device."
MASKING = {
    "logits": "*i16", "row_stride": "i32", "column_stride": 1, "vocabulary": "i32", "bitmask": "*i32", "table": "*i32",
    "mask_stride": "i32", "table_stride": "i32", "num_words": "i32", "records": "*i32", "indices": None,
    "mask_rows": None, "tiles": "i32", "HAS_INDICES": False, "HAS_MASK_ROWS": False, "WORDS": 128, "MINUS": -0x400,
}  # fmt: skip
SAMPLING = MASKING | {
    "logits": "*bf16", "maxima": "*fp32", "temperatures": "*fp32", "top_k": "*i32", "top_p": "*fp32",
    "min_p": "*fp32", "seeds": "*i64", "steps": "*i64", "thresholds": "*i32", "lasts": "*i32", "sums": "*i64",
    "scores": "*fp32", "ids": "*i32", "token_ids": "*i64", "logprobs": "*fp32", "masked_logprobs": "*fp32",
    "draw_logprobs": "*fp32", "log_z": "*fp32", "HAS_MASK": True, "TRUNCATES": True, "PARTS": 32, "BLOCK": 1024,
}  # fmt: skip
AUTOMATA = {
    "states": "*i32", "tokens": "*i64", "token_stride": 1, "transitions": "*i16", "num_classes": "i32",
    "token_classes": "*i32", "vocabulary": "i32", "mask_rows": "*i64", "rows": "*i64", "accepted": "*i8",
    "count": "i32", "BLOCK": 128,
}  # fmt: skip
INDIRECT = {"indices": "*i64", "mask_rows": "*i64", "HAS_INDICES": True, "HAS_MASK_ROWS": True, "column_stride": "i32"}
WIDE = {"logits": "*i32", "MINUS": -0x800000}
ALIGNED = ("row_stride", "mask_stride", "table_stride")
# Kernel → what is different from the arguments of its family.
KERNELS: list[tuple[str, str, dict[str, Any], dict[str, Any]]] = [
    ("masking_triton", "_apply_bitmask_kernel", MASKING, {}),
    ("masking_triton", "_apply_bitmask_kernel", MASKING, WIDE),
    ("masking_triton", "_apply_bitmask_kernel", MASKING, INDIRECT | {"row_stride": "i64"}),
    ("masking_triton", "_apply_records_kernel", MASKING, {}),
    ("masking_triton", "_expand_records_kernel", MASKING, {}),
    ("sampling_triton", "_maxima_kernel", SAMPLING, {}),
    ("sampling_triton", "_threshold_kernel", SAMPLING, {"BLOCK": 4096}),
    ("sampling_triton", "_draw_kernel", SAMPLING, {}),
    ("sampling_triton", "_draw_kernel", SAMPLING, INDIRECT | {"logits": "*fp32", "HAS_MASK": False}),
    ("sampling_triton", "_draw_kernel", SAMPLING, {"TRUNCATES": False, "thresholds": None, "lasts": None}),
    ("sampling_triton", "_finish_kernel", SAMPLING, {}),
    ("automata_triton", "_advance_kernel", AUTOMATA, {}),
    ("automata_triton", "_advance_kernel", AUTOMATA, {"transitions": "*i32", "token_stride": "i32"}),
]


def compile_one(module: str, name: str, family: dict[str, Any], changes: dict[str, Any], capability: int) -> str:
    """The PTX of one kernel. Pointers and strides are multiples of 16 bytes, as torch allocates."""
    kernel = getattr(importlib.import_module(DEVICE + module), name)
    values = {argument: (family | changes)[argument] for argument in kernel.arg_names}
    types = {a: v if isinstance(v, str) else "constexpr" for a, v in values.items()}
    constants = {(i,): v for i, v in enumerate(values.values()) if not isinstance(v, str)}
    aligned = {
        (i,): [["tt.divisibility", 16]]
        for i, (argument, value) in enumerate(values.items())
        if isinstance(value, str) and (value.startswith("*") or argument in ALIGNED)
    }
    num_warps = {"_threshold_kernel": 16, "_draw_kernel": 8, "_finish_kernel": 1}.get(name, 4)
    options = {"enable_fp_fusion": False, "num_warps": num_warps}
    source = ASTSource(kernel, types, constants, aligned)
    return str(triton.compile(source, target=GPUTarget("cuda", capability, 32), options=options).asm["ptx"])


def main() -> None:
    """Arguments: the capability, such as 90."""
    (capability,) = map(int, sys.argv[1:])
    print(json.dumps([[name, compile_one(m, name, f, c, capability)] for m, name, f, c in KERNELS]))


if __name__ == "__main__":
    main()
