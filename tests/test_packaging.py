"""What installing and importing promise: every folder is in the package list, importing is cheap, names resolve."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import grammar_engine

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli")

ROOT = Path(__file__).resolve().parent.parent
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
FOLDERS = {
    "grammar_engine": "grammar_engine",
    "compiler": "grammar_engine.compiler",
    "kernels": "grammar_engine.kernels",
    "grammars": "grammar_engine.grammars",
}


def test_package_list_equals_the_folders() -> None:
    found = []
    for folder, package in FOLDERS.items():
        holders = {path.parent for path in (ROOT / folder).rglob("*.py")}
        for holder in holders:
            assert (holder / "__init__.py").exists(), f"{holder} has modules but no __init__.py"
            found.append(".".join([package, *holder.relative_to(ROOT / folder).parts]))
    assert sorted(found) == sorted(SETTINGS["tool"]["setuptools"]["packages"])


def test_package_dir_maps_every_root_folder() -> None:
    assert SETTINGS["tool"]["setuptools"]["package-dir"] == {package: folder for folder, package in FOLDERS.items()}


def test_versions_agree() -> None:
    assert SETTINGS["project"]["version"] == grammar_engine.__version__


def _loaded(code: str, tmp_path: Path) -> set[str]:
    script = f"{code}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    return set(json.loads(result.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    "code",
    [
        "import grammar_engine",
        "import grammar_engine as ge; ge.generate; ge.stream; ge.load_model; ge.Matcher; ge.Greedy; ge.sampling",
        "import grammar_engine as ge; ge.GrammarCompiler(ge.Vocabulary([b'a']), cache_dir='').compile_regex('a')",
        "import grammar_engine.cli.main",
    ],
)
def test_no_framework_is_imported_before_it_is_needed(code: str, tmp_path: Path) -> None:
    assert not _loaded(code, tmp_path) & {"torch", "transformers", "triton"}


def test_importing_the_package_imports_next_to_nothing(tmp_path: Path) -> None:
    assert not _loaded("import grammar_engine", tmp_path) & {"numpy", "numba", "pydantic", "lark", "rich", "typer"}


def test_every_public_name_resolves() -> None:
    for name in grammar_engine.__all__:
        assert getattr(grammar_engine, name) is not None
    assert set(grammar_engine.__all__) == set(dir(grammar_engine))
    with pytest.raises(AttributeError, match="nonsense"):
        _ = grammar_engine.nonsense


def _imported_modules(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports cannot cross the root folders"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize(
    ("folder", "allowed"),
    [
        ("compiler", ("grammar_engine.compiler.", "grammar_engine.kernels.", "grammar_engine.grammars")),
        # The one thing from above: the constants of an automaton's table, which both sides read and write.
        ("kernels", ("grammar_engine.kernels.", "grammar_engine.compiler.automaton")),
    ],
)
def test_dependencies_point_one_way(folder: str, allowed: tuple[str, ...]) -> None:
    for path in (ROOT / folder).rglob("*.py"):
        for name in _imported_modules(path):
            if path.parent != ROOT / "kernels" / "device":  # the one place for kernels over tensors
                assert not name.startswith(("torch", "triton")), f"{path} imports {name}"
                assert not name.startswith("grammar_engine.kernels.device"), f"{path} imports {name}"
            assert not name.startswith("transformers"), f"{path} imports {name}"
            if name.startswith("grammar_engine"):
                assert name.startswith(allowed), f"{path} imports {name}"


def test_licence_is_whole() -> None:
    text = (ROOT / "LICENSE").read_text("utf-8")
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text
