"""Are masks of Python-like grammars exact? By brute force over a real vocabulary, and by Lark, at sampled positions.

    python benchmarks/mask_exactness.py [small|python.lark|python ...] [--texts N] [--places N] [--tokens N]
        [--judged N] [--vocabulary smollm2|deepseek|llama3] [--seed N]

Texts are small files of the standard library (for "small" a text of its own), each followed by texts that random walks
through our masks go on with from somewhere inside. Positions are sampled by kind: inside indentation, at the beginning
of a line, in brackets, strings, f-strings, comments, words, numbers. See ``tests/support/mask_exactness.py`` for what
is compared. Exit code 1 if anything differs.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from pathlib import Path

import lark.lexer
from common import data_folder, load_llama3
from grammar_engine.compiler.vocabulary import Vocabulary

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))

from lark_oracle import library_files
from mask_exactness import SMALL_TEXT, STRINGS_TEXT, MaskExactness, places_of


def vocabulary_named(name: str) -> Vocabulary:
    """One of the vocabularies of the data folder, or Llama 3's."""
    if name == "llama3":
        llama3 = load_llama3()
        return Vocabulary(llama3.tokens(), stop_token_ids=llama3.stop, special_token_ids=list(llama3.special.values()))
    return Vocabulary.from_huggingface(data_folder() / "tokenizers" / f"{name}_tokenizer.json.gz")


def texts_for(name: str, count: int, rng: random.Random) -> list[str]:
    """What positions are sampled in."""
    if name == "small":
        return [SMALL_TEXT] * count
    files = [path for path in library_files(4000) if path.stat().st_size > 400]
    texts = [path.read_text(encoding="utf-8") for path in rng.sample(files, count)]
    return [STRINGS_TEXT, *texts[1:]]


def main() -> int:
    """Compare and print; the exit code says whether all masks are exact."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("grammars", nargs="*", default=["small", "python.lark", "python"])
    parser.add_argument("--texts", type=int, default=10)
    parser.add_argument("--places", type=int, default=2, help="of each kind")
    parser.add_argument("--tokens", type=int, default=5000, help="the reference is asked of; 0: the whole vocabulary")
    parser.add_argument("--judged", type=int, default=20, help="allowed and forbidden tokens that Lark is asked of")
    parser.add_argument("--vocabulary", default="smollm2")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    lark.lexer.has_interegular = False  # type: ignore[attr-defined]
    vocabulary = vocabulary_named(arguments.vocabulary)
    write = sys.stdout.write
    problems = 0
    for name in arguments.grammars:
        started = time.thread_time()
        rng = random.Random(f"{name} {arguments.seed}")
        exactness = MaskExactness(name, vocabulary)
        for text in texts_for(name, arguments.texts, rng):
            for whole in (text, exactness.walked(text, rng)):
                places = places_of(whole, rng, arguments.places)
                exactness.check(whole, places, rng, tokens=arguments.tokens, judged=arguments.judged)
        result = exactness.result
        problems += len(result.problems)
        for problem in result.problems[:20]:
            write(f"  {problem}\n")
        write(f"{name}: {result.positions} positions, {result.tokens} tokens as the reference has them, ")
        write(f"{result.completed} allowed ones completed to texts that Lark accepts ({result.unfinished} without a ")
        write(f"completion found), {result.forbidden} forbidden ones with {result.refusals} ends that Lark refuses; ")
        write(f"problems: {len(result.problems)}; {time.thread_time() - started:.0f} s\n")
        write("  " + ", ".join(f"{kind} {count}" for kind, count in sorted(result.kinds.items())) + "\n")
    return int(problems > 0)


if __name__ == "__main__":
    raise SystemExit(main())
