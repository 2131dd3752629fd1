"""Triton's compiler takes every kernel, without a GPU: what the interpreter cannot tell."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the extra hf")
pytest.importorskip("triton", reason="needs triton, which the extra cuda brings (Linux only)")

SCRIPT = Path(__file__).parent / "support" / "compile_triton.py"


@pytest.mark.parametrize("capability", [80, 90])
def test_every_kernel_compiles_as_it_is_meant(capability: int, tmp_path: Path) -> None:
    environment = {**os.environ, "TRITON_CACHE_DIR": str(tmp_path)}
    environment.pop("TRITON_INTERPRET", None)
    command = [sys.executable, str(SCRIPT), str(capability)]
    run = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, check=False)
    assert run.returncode == 0, run.stderr[-3000:]
    kernels = json.loads(run.stdout)
    assert len(kernels) >= 13
    for name, ptx in kernels:
        # A fused multiply-add rounds once where the reference rounds twice; div.full is off by two units.
        assert not re.search(r"\bfma\.|div\.full", ptx), name
    # Masks are written as vectors: sixteen bytes at a time.
    for name, ptx in kernels[:2]:
        assert name == "_apply_bitmask_kernel"
        assert re.search(r"st\.global\.v4\.b32", ptx)
