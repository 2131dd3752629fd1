"""A population drawn as a page: well-formed, self-contained, everything on it, nothing of a text taken for markup."""

from __future__ import annotations

import math
import re
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from grammar_engine.sampling.population import CUT, DEAD, FINISHED, Particle, Population, Step

SVG = "{http://www.w3.org/2000/svg}"
TEXTS = ["plain", "<script>alert('1')</script> & \"q\"", "two\nlines\x00\u202e", "日本 é"]


def population(texts: list[str]) -> Population:
    """Three steps, resampled behind the second: 0 and 1 are copies of 1, 3 of 2; particle 0's line ends there."""
    count = len(texts)
    states = [FINISHED, FINISHED, DEAD, CUT]
    particles = tuple(
        Particle(
            text=text,
            token_ids=(1, 2),
            log_weight=-1.5 if states[i] == FINISHED else -math.inf,
            logprob=-3.0,
            state=states[i],
            eve=[1, 1, 2, 2][i],
        )
        for i, text in enumerate(texts)
    )
    history = (
        Step(token_ids=(5,) * count, log_weights=(0.0, -1.0, -2.0, -math.inf)[:count], ess=2.5, ancestors=None),
        Step(token_ids=(6,) * count, log_weights=(-9.0, 0.0, -1.0, -math.inf)[:count], ess=1.5, ancestors=(1, 1, 2, 2)),
        Step(token_ids=(7, -1, 7, 7), log_weights=(-1.5, -1.5, -math.inf, -3.0), ess=2.2, ancestors=None),
    )
    return Population(particles=particles, history=history if count == 4 else (), num_checks=17, passes=4)


def parsed(page: str) -> Any:
    return ET.fromstring(page.removeprefix("<!DOCTYPE html>\n"))  # noqa: S314  (ours)


def test_every_particle_and_its_text() -> None:
    page = population(TEXTS).to_html("A <title>")
    root = parsed(page)
    rows = root.findall(".//tr")[1:]
    shown = ["".join(row.find("td/pre").itertext()) for row in rows]  # type: ignore[union-attr]
    assert shown == [TEXTS[0], TEXTS[1], "two\nlines\\x00\\u202e", TEXTS[3]]
    cells = [[cell.text for cell in row.findall("td")] for row in rows]
    assert [row[2] for row in cells] == ["finished", "finished", "dead", "cut"]
    assert [row[3] for row in cells] == ["50.0%", "50.0%", "0.0%", "0.0%"]
    assert [row[4] for row in cells] == ["-1.500", "-1.500", "−∞", "−∞"]
    assert root.find("body/h1").text == root.find("head/title").text == "A <title>"
    said = "".join(root.find("body/p").itertext())
    for part in ("4 particles (2 finished, 1 dead, 1 cut)", "3 steps, resampled behind 1", "17 checks", "4 passes"):
        assert part in said


def test_discs_and_lines() -> None:
    """A disc for each step and particle, as large as its share; lines to copies; pale where nothing came of it."""
    svg = parsed(population(TEXTS).to_html()).find(f".//{SVG}svg")
    discs = svg.findall(f"{SVG}circle")
    assert len(discs) == 12
    by_title = {disc.find(f"{SVG}title").text.split(":")[0]: disc for disc in discs}
    radii = [float(by_title[f"step 1, particle {slot}"].get("r")) for slot in range(4)]
    weights = [1, math.exp(-1), math.exp(-2), 0.0]
    areas = [(radius - 1.2) ** 2 for radius in radii]
    assert areas == pytest.approx([64 * weight / sum(weights) for weight in weights], abs=0.1)
    pale = {name for name, disc in by_title.items() if disc.get("class") == "lost"}
    # Only particle 1 of the first two steps has descendants with weight; of the last, 0 and 1.
    expected = {f"step {step}, particle {slot}" for step in (1, 2) for slot in (0, 2, 3)}
    assert pale == expected | {"step 3, particle 2", "step 3, particle 3"}
    lines = [(line.get("x1"), line.get("y1"), line.get("y2")) for line in svg.findall(f"{SVG}line")]
    second = by_title["step 2, particle 1"]
    copies = [y2 for x1, y1, y2 in lines if (x1, y1) == (second.get("cx"), second.get("cy"))]
    assert copies == [by_title[f"step 3, particle {slot}"].get("cy") for slot in (0, 1)]


def test_self_contained_and_deterministic() -> None:
    page = population(TEXTS).to_html()
    assert page == population(TEXTS).to_html()
    assert "<script" not in page
    assert not re.search(r"\b(src|href|url|@import)\b", page.replace("http://www.w3.org/2000/svg", ""))


@pytest.mark.parametrize("texts", [[], ["alone"], ["a", "b"]])
def test_without_history(texts: list[str]) -> None:
    root = parsed(population(texts).to_html())
    assert len(root.findall(".//tr")) == 1 + len(texts)
