"""``mypy --strict`` over the package, from the four folders that it is made of.

mypy does not follow the import hook of an editable install, so the package is laid out once more, as links: the
folder .typecheck/grammar_engine holds what an installation would.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def main() -> int:
    """Lay out the package and check it. The exit code is mypy's."""
    site = ROOT / ".typecheck"
    package = site / "grammar_engine"
    shutil.rmtree(site, ignore_errors=True)
    package.mkdir(parents=True)
    parts = [path for path in (ROOT / "grammar_engine").iterdir() if path.name != "__pycache__"]
    for part in (*parts, ROOT / "compiler", ROOT / "kernels", ROOT / "grammars"):
        (package / part.name).symlink_to(part)
    command = [sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml")]
    command += ["--cache-dir", str(ROOT / ".mypy_cache"), "-p", "grammar_engine"]
    # Not from the root: its folders kernels and compiler would shadow packages.
    return subprocess.run(command, cwd=site, env={**os.environ, "MYPYPATH": str(site)}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
