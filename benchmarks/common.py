"""What the benchmarks share: the data, the Llama-3 vocabulary, percentiles and tables."""

from __future__ import annotations

import base64
import gzip
import json
import os
import platform
import random
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from fetch_tokenizers import fetch, tokenizer_folder
from rich.console import Console
from rich.table import Table

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
"""The project's data folder, beside the checkout; ``GRAMMAR_ENGINE_DATA`` points elsewhere."""

# The split of a text into words before merges, and the order of the 256 special tokens: Llama 3's published interface.
LLAMA3_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
LLAMA3_SPECIAL_TOKENS = (
    "<|begin_of_text|>",
    "<|end_of_text|>",
    "<|reserved_special_token_0|>",
    "<|reserved_special_token_1|>",
    "<|finetune_right_pad_id|>",
    "<|step_id|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eom_id|>",
    "<|eot_id|>",
    "<|python_tag|>",
    "<|image|>",
    *(f"<|reserved_special_token_{index}|>" for index in range(2, 246)),
)


def data_folder() -> Path:
    """Where the benchmark data lies."""
    return Path(os.environ.get("GRAMMAR_ENGINE_DATA", DATA))


@dataclass(frozen=True, kw_only=True)
class Llama3:
    """The Llama-3 tokenizer as its file has it: 128,000 ranks and 256 special tokens behind them.

    ranks: token bytes → id. special: name → id. stop: the ids of <|end_of_text|>, <|eom_id|> and <|eot_id|>.
    """

    ranks: dict[bytes, int]
    special: dict[str, int]

    @property
    def size(self) -> int:
        return len(self.ranks) + len(self.special)

    @property
    def stop(self) -> list[int]:
        return [self.special[name] for name in ("<|end_of_text|>", "<|eom_id|>", "<|eot_id|>")]

    def tokens(self) -> list[bytes]:
        """Bytes of every id; special tokens are spelled out."""
        spelled = {name.encode(): token_id for name, token_id in self.special.items()}
        by_id = {token_id: token for token, token_id in (*self.ranks.items(), *spelled.items())}
        return [by_id[token_id] for token_id in range(self.size)]

    def text(self, ids: Sequence[int]) -> str:
        """What ids spell, for people to read."""
        return str(self.encoding().decode(ids))

    def encoding(self) -> Any:
        """The tokenizer as a ``tiktoken.Encoding`` (of the `bench` extra)."""
        import tiktoken

        return tiktoken.Encoding(
            "llama3", pat_str=LLAMA3_PATTERN, mergeable_ranks=self.ranks, special_tokens=self.special
        )


def load_llama3() -> Llama3:
    """The Llama-3 tokenizer from the cache folder, fetched if it is not there."""
    (path,) = fetch(["llama3.tiktoken"], tokenizer_folder())
    pairs = (line.split() for line in path.read_bytes().splitlines() if line)
    ranks = {base64.b64decode(token): int(rank) for token, rank in pairs}
    return Llama3(ranks=ranks, special={name: len(ranks) + i for i, name in enumerate(LLAMA3_SPECIAL_TOKENS)})


def load_maskbench(limit: int | None, seed: int, path: Path | None = None) -> list[dict[str, Any]]:
    """A seeded sample of the records that have tests, in the file's order; all of them if ``limit`` is None."""
    with gzip.open(path or data_folder() / "maskbench_open.jsonl.gz", "rt", encoding="utf-8") as lines:
        records = [record for record in map(json.loads, lines) if record["tests"]]
    if limit is None or limit >= len(records):
        return records
    return [records[index] for index in sorted(random.Random(seed).sample(range(len(records)), limit))]


def summary(values: Sequence[float]) -> dict[str, float]:
    """Count, mean, p50, p90, p99 and maximum; percentiles are values that occur (nearest rank)."""
    if not values:
        return {"n": 0}
    ordered = sorted(values)
    result = {"n": float(len(ordered)), "mean": statistics.fmean(ordered)}
    for percent in (50, 90, 99):
        result[f"p{percent}"] = ordered[max(0, -(-percent * len(ordered) // 100) - 1)]
    result["max"] = ordered[-1]
    return result


def figure(value: float | None) -> str:
    """A number as people read it: three significant digits below 100, thousands separated above."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def show_table(console: Console, title: str, columns: Sequence[str], rows: Mapping[str, Iterable[str]]) -> None:
    """Print a table: one named row per entry of ``rows``, figures to the right."""
    table = Table(title=title, title_justify="left")
    table.add_column("")
    for column in columns:
        table.add_column(column, justify="right")
    for name, cells in rows.items():
        table.add_row(name, *cells)
    console.print(table)


def environment(packages: Iterable[str]) -> dict[str, Any]:
    """What a figure depends on besides the code: machine, Python, package versions."""
    versions = {}
    for package in packages:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "absent"
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "processors": os.cpu_count(),
        "load": os.getloadavg()[0],
        "packages": versions,
    }
