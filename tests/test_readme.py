"""Every Python snippet of the README runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

README = (Path(__file__).resolve().parent.parent / "README.md").read_text("utf-8")
SNIPPETS = re.findall(r"^```python\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


def test_there_are_snippets() -> None:
    assert len(SNIPPETS) >= 5


@pytest.mark.parametrize("number", range(len(SNIPPETS)))
def test_snippet(number: int, request: pytest.FixtureRequest) -> None:
    code = SNIPPETS[number]
    if "generate(" in code or "stream(" in code or "load_model(" in code:
        request.getfixturevalue("smollm2")
    names: dict[str, Any] = {"__name__": f"snippet_{number}"}
    exec(compile(code, f"README.md snippet {number + 1}", "exec"), names)  # noqa: S102 - our own README
