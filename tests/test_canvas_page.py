"""A filled canvas drawn as a page: well-formed, self-contained, every step and slot on it, markup of texts escaped."""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree as ET

import pytest

torch = pytest.importorskip("torch", reason="needs the extra hf")

from diffusion_language import MASK, STOP, filled, language, model

from grammar_engine import GrammarCompiler, Vocabulary
from grammar_engine.diffusion import Remasking, Schedule
from grammar_engine.inspection.canvas_page import canvas_page, token_text
from grammar_engine.inspection.canvas_text import step_text

SVG = "{http://www.w3.org/2000/svg}"


def parsed(page: str) -> Any:
    return ET.fromstring(page.removeprefix("<!DOCTYPE html>\n"))  # noqa: S314  (ours)


def results() -> list[Any]:
    compiled = language()
    rule = Remasking(times=1, below=1.0, share=0.5)
    return [
        filled(model(3), [""], compiled, slots=8, schedule=Schedule(threshold=0.0))[0],
        filled(model(1), [""], compiled, slots=8, schedule=Schedule(block=4, remasking=rule))[0],
        filled(model(1), [""], compiled, slots=8, method="lave", schedule="random", seed=1)[0],
        filled(model(1), [""], compiled, slots=8, method="none")[0],
        filled(model(2), [""], compiled, canvas=[MASK, 3, MASK, MASK, MASK, STOP])[0],
    ]


@pytest.mark.parametrize("number", range(5))
def test_every_step_and_slot(number: int) -> None:
    result = results()[number]
    page = result.to_html("A <title> & more")
    assert page == canvas_page(result, "A <title> & more")
    root = parsed(page)
    assert root.find("body/h1").text == "A <title> & more"
    steps, slots = (table.findall("tr")[1:] for table in root.findall("body/table"))
    assert len(steps) == len(result.history)
    assert len(slots) == len(result.canvas)
    for row, step in zip(steps, result.history, strict=True):
        shown = "".join(row.find("td[@class='text']/pre").itertext())
        end = min((s for s, token in enumerate(step.token_ids) if token == STOP), default=len(step.token_ids))
        expected = "".join("·" if t == MASK else token_text(result.shown, t) for t in step.token_ids[:end])
        assert shown == expected
    for row, token in zip(slots, result.canvas, strict=True):
        assert "".join(row.find("td/pre").itertext()) == token_text(result.shown, token)
    svg = root.find(f".//{SVG}svg")
    cells = svg.findall(f"{SVG}g")
    assert len(cells) == sum(len(step.slots) for step in result.history)
    refused = [slot for step in result.history for slot in step.slots if slot.is_allowed is False]
    assert len(svg.findall(f"{SVG}g/{SVG}path")) == len(refused)
    assert sum("not allowed" in "".join(cell.find(f"{SVG}title").itertext()) for cell in cells) == len(refused)
    assert len(svg.findall(f"{SVG}circle")) == result.counters.reopened
    said = "".join(root.find("body/p").itertext())
    assert f"{result.counters.forwards} passes" in said


def test_self_contained() -> None:
    for result in results():
        page = result.to_html()
        assert "<script" not in page
        assert not re.search(r"\b(src|href|url|@import)\b", page.replace("http://www.w3.org/2000/svg", ""))


def test_texts_are_not_taken_for_markup() -> None:
    tokens = [b"<b>", b"&", b"\x00", b"\xe2\x80\xae", b"\xc3", None, None]
    compiler = GrammarCompiler(Vocabulary(tokens, stop_token_ids=[5]), cache_dir="", prepare=False)
    from random_diffusion import RandomDiffusion

    speaker = RandomDiffusion(compiler, mask_token_id=6)
    compiled = compiler.compile_regex("(?s).*")
    result = filled(speaker, [""], compiled, slots=5, method="none", temperature=3.0, seed=1)[0]
    parsed(result.to_html("\x00<x>\u202e"))


def test_terminal_lines() -> None:
    """The same text as the page's; what is new is marked."""
    result = results()[0]
    for step in result.history:
        line = step_text(step, result.shown, MASK)
        end = min((s for s, token in enumerate(step.token_ids) if token == STOP), default=len(step.token_ids))
        expected = "".join("·" if t == MASK else token_text(result.shown, t) for t in step.token_ids[:end])
        rest = len(expected) - len(expected.rstrip("·"))
        if rest > 3:
            expected = f"{expected.rstrip('·')}··· {rest} open"
        assert line.plain[6:] == expected
        marked = [span for span in line.spans if str(span.style).startswith("bold")]
        assert len(marked) == sum(slot.state == "committed" and slot.slot < end for slot in step.slots)
