"""Commands about diffusion models: what is refused before a model is loaded, and a page that is written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

torch = pytest.importorskip("torch", reason="needs the extra hf")

from diffusion_language import model

from grammar_engine.cli.main import app
from grammar_engine.models import ModelRegistry


def call(*arguments: str) -> Any:
    return CliRunner().invoke(app, list(arguments), catch_exceptions=False)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--canvas", "page.txt"], ".html"),
        (["--canvas", "page.html", "--particles", "3"], "--particles"),
    ],
)
def test_broken_questions(arguments: list[str], said: str) -> None:
    result = call("generate", "x", "--regex", "1*", "--model", "tiny-dlm", *arguments)
    assert result.exit_code == 2
    assert said in result.output


def test_other_models_have_no_canvas(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tiny_model: Any) -> None:
    monkeypatch.setattr(ModelRegistry, "get", lambda *_: tiny_model)
    result = call("generate", "x", "--regex", "1*", "--canvas", str(tmp_path / "page.html"))
    assert result.exit_code == 2
    assert "diffusion" in result.output


def test_a_page_is_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(ModelRegistry, "get", lambda *_: model(1))
    page = tmp_path / "page.html"
    arguments = ["generate", "x", "--regex", "[1a]{3}", "--max-tokens", "6", "--canvas", str(page)]
    result = call(*arguments)
    assert result.exit_code == 0
    assert len(result.stdout.strip()) == 3
    assert page.read_text("utf-8").startswith("<!DOCTYPE html>")
    answer = json.loads(call(*arguments, "--format", "json").stdout)
    assert answer["ok"]
    assert answer["text"] == answer["value"] == result.stdout.strip()
    assert answer["counters"]["forwards"] > 0
    assert call(*arguments[:-1], str(tmp_path / "no" / "page.html")).exit_code == 2


def test_demo_page_must_be_html() -> None:
    assert call("demo-diffusion", "--page", "x.txt").exit_code == 2
