"""``make train-tiny-dlm``: train the tiny model and write its files.

Some ten minutes of one CPU core. The files in the package are replaced unless ``--output`` names another folder.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from time import process_time

import torch

from grammar_engine.diffusion.tiny import tokenizer as tiny_tokenizer
from grammar_engine.diffusion.tiny.files import FOLDER, TOKENIZER, save
from grammar_engine.diffusion.tiny.network import NetworkShape, TinyNetwork
from grammar_engine.diffusion.tiny.training import Progress, Recipe, fit


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line, train, write. Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=FOLDER, help="folder for tokenizer.json and the weights")
    parser.add_argument("--steps", type=int, default=Recipe.steps, help="batches")
    parser.add_argument("--device", default="cpu", help='such as "cuda": with more batches, a better model')
    parser.add_argument("--seed", type=int, default=Recipe.seed)
    options = parser.parse_args(arguments)
    recipe = Recipe(steps=options.steps, seed=options.seed)

    options.output.mkdir(parents=True, exist_ok=True)
    tiny_tokenizer.train(recipe.seed).save(str(options.output / TOKENIZER))
    tokenizer = tiny_tokenizer.load(options.output / TOKENIZER)
    torch.manual_seed(recipe.seed)
    network = TinyNetwork(NetworkShape(vocabulary=tiny_tokenizer.SIZE)).to(options.device)
    _say(f"{sum(weight.numel() for weight in network.parameters()):,} weights")
    fit(network, tokenizer, recipe, _show)
    size = save(network, options.output)
    _say(f"{options.output}: {size:,} bytes of weights")
    return 0


def _show(progress: Progress) -> None:
    _say(f"batch {progress.step:5} of {progress.steps}  {progress.loss:.3f} nats per slot  {process_time():5.0f} s")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
