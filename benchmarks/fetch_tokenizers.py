"""Fetch real tokenizer files into the user's cache folder, out of Python packages that carry them.

    python benchmarks/fetch_tokenizers.py llama3 o200k_base
    python benchmarks/fetch_tokenizers.py --all

Tests and benchmarks use what is there and never download. Every file is checked against its SHA-256 before it is
stored. The files belong to their authors under the licences of the packages named here; none of them is redistributed.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_cache_dir

LLAMA = "llama_models==0.3.0"
LITELLM = "litellm==1.109.1"
MISTRAL = "mistral-common==1.13.1"


@dataclass(frozen=True, kw_only=True)
class Source:
    """A file inside a package: which requirement, which member of its wheel, and its SHA-256."""

    requirement: str
    member: str
    sha256: str


_LITELLM_FOLDER = "litellm/litellm_core_utils/tokenizers"
_MISTRAL_FOLDER = "mistral_common/data"
SOURCES = {
    "llama3.tiktoken": Source(
        requirement=LLAMA,
        member="llama_models/llama3/tokenizer.model",
        sha256="82e9d31979e92ab929cd544440f129d9ecd797b69e327f80f17e1c50d5551b55",
    ),
    "llama4.tiktoken": Source(
        requirement=LLAMA,
        member="llama_models/llama4/tokenizer.model",
        sha256="d0bdbaf59b0762c8c807617e2d8ea51420eb1b1de266df2495be755c8e0ed6ed",
    ),
    "cl100k_base.tiktoken": Source(
        requirement=LITELLM,
        member=f"{_LITELLM_FOLDER}/9b5ad71b2ce5302211f9c61530b329a4922fc6a4",
        sha256="223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
    ),
    "o200k_base.tiktoken": Source(
        requirement=LITELLM,
        member=f"{_LITELLM_FOLDER}/fb374d419588a4632f3f557e76b4b70aebbca790",
        sha256="446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
    ),
    "anthropic.json": Source(
        requirement=LITELLM,
        member=f"{_LITELLM_FOLDER}/anthropic_tokenizer.json",
        sha256="c241737df24b4e7f7c9af4fdcee29a0ca903dcb288a8b753bc346a3092911767",
    ),
    "mistral_v1.model": Source(
        requirement=MISTRAL,
        member=f"{_MISTRAL_FOLDER}/tokenizer.model.v1",
        sha256="dadfd56d766715c61d2ef780a525ab43b8e6da4de6865bda3d95fdef5e134055",
    ),
    "mistral_v3.model": Source(
        requirement=MISTRAL,
        member=f"{_MISTRAL_FOLDER}/mistral_instruct_tokenizer_240323.model.v3",
        sha256="9addc8bdce5988448ae81b729336f43a81262160ae8da760674badab9d4c7d33",
    ),
    "mistral_v7.model": Source(
        requirement=MISTRAL,
        member=f"{_MISTRAL_FOLDER}/mistral_instruct_tokenizer_241114.model.v7",
        sha256="1b968b8dc352f42192367337c78ccc61e1eaddc6d641a579372d4f20694beb7a",
    ),
    "tekken_240911.json": Source(
        requirement=MISTRAL,
        member=f"{_MISTRAL_FOLDER}/tekken_240911.json",
        sha256="1948e2d48b0e7377f1bb5f1210f1ae5f984934e75713fc07e2452729b8365316",
    ),
}


def tokenizer_folder() -> Path:
    """Where the files are kept: ``tokenizers`` in the cache folder of grammar-engine."""
    return Path(user_cache_dir("grammar-engine")) / "tokenizers"


def fetch(names: list[str], folder: Path) -> list[Path]:
    """Make sure that the named files are in ``folder``; packages are downloaded only for those that are missing.

    Raises:
        RuntimeError: a download fails, or a file is not the one that was expected.
    """
    folder.mkdir(parents=True, exist_ok=True)
    missing = [name for name in names if not _is_intact(folder / name, SOURCES[name])]
    for requirement in sorted({SOURCES[name].requirement for name in missing}):
        with tempfile.TemporaryDirectory() as temporary:
            wheel = _download(requirement, Path(temporary))
            with zipfile.ZipFile(wheel) as archive:
                for name in missing:
                    if SOURCES[name].requirement == requirement:
                        _store(archive.read(SOURCES[name].member), folder / name, SOURCES[name])
    return [folder / name for name in names]


def _is_intact(path: Path, source: Source) -> bool:
    return path.exists() and hashlib.sha256(path.read_bytes()).hexdigest() == source.sha256


def _download(requirement: str, folder: Path) -> Path:
    """The wheel of a requirement, without its dependencies."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    done = subprocess.run([*command, "--dest", str(folder), requirement], capture_output=True, text=True, check=False)
    wheels = list(folder.glob("*.whl"))
    if done.returncode or not wheels:
        raise RuntimeError(f"cannot download {requirement}:\n{done.stderr.strip()}")
    return wheels[0]


def _store(data: bytes, path: Path, source: Source) -> None:
    digest = hashlib.sha256(data).hexdigest()
    if digest != source.sha256:
        raise RuntimeError(f"{source.requirement}: {source.member} has SHA-256 {digest}, expected {source.sha256}")
    partial = path.with_suffix(f".{os.getpid()}.part")
    partial.write_bytes(data)
    partial.replace(path)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which files, of: {', '.join(SOURCES)}")
    parser.add_argument("--all", action="store_true", help="all of them")
    arguments = parser.parse_args()
    by_stem = {Path(name).stem: name for name in SOURCES}
    names = list(SOURCES) if arguments.all else [by_stem.get(name, name) for name in arguments.names]
    unknown = [name for name in names if name not in SOURCES]
    if unknown or not names:
        parser.error(f"unknown: {', '.join(unknown)}" if unknown else "name at least one file, or --all")
    try:
        paths = fetch(names, tokenizer_folder())
    except RuntimeError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    for path in paths:
        sys.stdout.write(f"{path}  {path.stat().st_size:,} bytes\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
