"""Shipped grammars over short texts written after the languages' specifications: what belongs to a language, what not.

``cases/LANGUAGE.cases``: texts, each behind a line ``==== + title`` (a text of the language) or ``==== - title``. The
line feed before the next such line is not part of the text. Verdicts come from the specifications; where a compiler or
parser of the language was at hand, it agreed (PostgreSQL 15, SQLite 3.40, javac 25, V8, gcc 12, CPython 3.13, tomllib).
"""

from __future__ import annotations

from pathlib import Path

import pytest
from corpora_verdicts import Judge

FOLDER = Path(__file__).parent / "cases"
MARK = "==== "


def cases_of(language: str) -> list[tuple[str, bool, bytes]]:
    """(title, whether the text belongs to the language, text) of every case."""
    content = (FOLDER / f"{language}.cases").read_bytes().decode().removesuffix("\n")
    found = []
    for block in content.removeprefix(MARK).split(f"\n{MARK}"):
        title, _, text = block.partition("\n")
        found.append((title[2:], {"+": True, "-": False}[title[0]], text.encode()))
    return found


@pytest.mark.parametrize("language", sorted(path.stem for path in FOLDER.glob("*.cases")))
def test_cases(language: str) -> None:
    judge = Judge(language)
    wrong = []
    for title, belongs, text in cases_of(language):
        accepted, _ = judge.accepted(text)
        if accepted != belongs:
            place = judge.refused_at(text) if belongs else len(text)
            wrong.append(
                f"{title}: accepted={accepted}, at {text[max(0, place - 40) : place]!r} >>> {text[place:][:40]!r}"
            )
    assert not wrong, "\n".join(wrong)
