"""Words of a kind that follow a rule of spelling, by SmolLM2: is the rule kept, and is the word one of the kind?

    python benchmarks/word_task.py [--seeds 2] [--particles 8] [--temperature 1.0] [--json FILE]

"Name a month that ends with 'ber'." The grammar is one capitalized word; the rule is the condition. That a word keeps
the rule is what sampling can see to; that it is a month, only the model knows, so a way of sampling that bends the
model shows: behind "Germany" a mask, or a condition asked token by token, goes on to "Germanyland".

Questions come from the lists below, one for each kind of thing and each kind of rule, from a word drawn by a fixed
seed; so the model has not been asked which ones it can answer. Ways, over the same texts, N of them side by side:

    masked              one text by the mask; the rule is not looked at
    masked, retried     N texts by the mask at a time until one keeps the rule, or as much time has passed as SMC took
    AWRS                one text by mask and condition
    AWRS, weighted      N texts by mask and condition, one drawn by weight
    SMC                 N particles by mask and condition, resampled; one drawn by weight

*Kept*: the rule. *Right*: kept, and the word is in the list. Intervals: Wilson's, 95 %; the difference to SMC in right
answers by pairs (the same question and seed), ± 1.96 standard errors. SMC runs first, and all ways start with the same
prompt, which each reads anew.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from common import environment, figure, show_table
from rich.console import Console

from grammar_engine.errors import AllParticlesDeadError, IncompleteGenerationError
from grammar_engine.models import Model, load_model
from grammar_engine.sampling import OnText, smc

KINDS = {
    "month":
        "january february march april may june july august september october november december",
    "day of the week":
        "monday tuesday wednesday thursday friday saturday sunday",
    "color":
        "red orange yellow green blue indigo violet purple pink brown black white gray grey gold silver beige "
        "cyan magenta maroon navy teal turquoise lavender crimson scarlet olive tan ivory coral amber azure",
    "planet":
        "mercury venus earth mars jupiter saturn uranus neptune pluto",
    "fruit":
        "apple apricot avocado banana blackberry blueberry cherry coconut cranberry date fig grape grapefruit "
        "guava kiwi lemon lime lychee mango melon nectarine olive orange papaya peach pear persimmon "
        "pineapple plum pomegranate raspberry strawberry tangerine tomato watermelon",
    "animal":
        "ant ape bat bear beaver bee bird bison buffalo bull butterfly camel cat cheetah chicken chimpanzee "
        "cobra cow coyote crab crocodile crow deer dog dolphin donkey dove duck eagle elephant elk falcon "
        "ferret fish flamingo fly fox frog gazelle giraffe goat goose gorilla hamster hare hawk hedgehog "
        "hippopotamus horse hyena jackal jaguar kangaroo koala lemur leopard lion lizard llama lobster lynx "
        "monkey moose mosquito mouse mule octopus ostrich otter owl ox panda panther parrot peacock pelican "
        "penguin pig pigeon puma rabbit raccoon rat raven rhinoceros salmon seal shark sheep skunk sloth "
        "snail snake spider squirrel swan tiger toad tortoise turkey turtle vulture walrus wasp weasel whale "
        "wolf wolverine wombat worm yak zebra",
    "country":
        "afghanistan albania algeria andorra angola argentina armenia australia austria azerbaijan bahamas "
        "bahrain bangladesh barbados belarus belgium belize benin bhutan bolivia botswana brazil brunei "
        "bulgaria burundi cambodia cameroon canada chad chile china colombia comoros congo croatia cuba "
        "cyprus denmark djibouti dominica ecuador egypt eritrea estonia ethiopia fiji finland france gabon "
        "gambia georgia germany ghana greece grenada guatemala guinea guyana haiti honduras hungary iceland "
        "india indonesia iran iraq ireland israel italy jamaica japan jordan kazakhstan kenya kuwait "
        "kyrgyzstan laos latvia lebanon lesotho liberia libya liechtenstein lithuania luxembourg madagascar "
        "malawi malaysia maldives mali malta mauritania mauritius mexico moldova monaco mongolia montenegro "
        "morocco mozambique myanmar namibia nauru nepal netherlands nicaragua niger nigeria norway oman "
        "pakistan panama paraguay peru philippines poland portugal qatar romania russia rwanda samoa senegal "
        "serbia singapore slovakia slovenia somalia spain sudan suriname sweden switzerland syria taiwan "
        "tajikistan tanzania thailand togo tonga tunisia turkey turkmenistan uganda ukraine uruguay "
        "uzbekistan vanuatu venezuela vietnam yemen zambia zimbabwe",
    "state of the USA":
        "alabama alaska arizona arkansas california colorado connecticut delaware florida georgia hawaii "
        "idaho illinois indiana iowa kansas kentucky louisiana maine maryland massachusetts michigan "
        "minnesota mississippi missouri montana nebraska nevada ohio oklahoma oregon pennsylvania tennessee "
        "texas utah vermont virginia washington wisconsin wyoming",
}  # fmt: skip
EXAMPLES = [
    ("Name a metal that starts with 'Ir'.", "Iron"),
    ("Name a vegetable that ends with 'ot'.", "Carrot"),
    ("Name a sport that has 6 letters.", "Soccer"),
    ("Name a drink without the letter 'e'.", "Milk"),
    ("Name a language that contains 'ngl'.", "English"),
]
LANGUAGE = r"[A-Z][a-z]{1,15}"
MAX_TOKENS = 16


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked, the words that answer it, and the rule: of a text so far, and of a finished one."""

    kind: str
    rule: str
    text: str
    answers: frozenset[str]
    so_far: Callable[[str], bool]
    at_end: Callable[[str], bool]


def questions(seed: int) -> list[Question]:
    """One for each kind of thing and of rule."""
    rng = random.Random(seed)
    found = []
    for kind, listed in KINDS.items():
        words = listed.split()
        for rule in ("starts", "ends", "contains", "letters", "without"):
            word = rng.choice([word for word in words if len(word) >= 4])
            name, so_far, at_end = _rule(rule, word)
            article = "an" if kind[0] in "aeiou" else "a"
            answers = frozenset(word for word in words if at_end(word))
            text = f"Name {article} {kind} {name}."
            found.append(Question(kind=kind, rule=rule, text=text, answers=answers, so_far=so_far, at_end=at_end))
    return found


def _rule(rule: str, word: str) -> tuple[str, Callable[[str], bool], Callable[[str], bool]]:
    """Its wording, and what it says of a text so far and of a finished one (small letters or not)."""
    if rule == "starts":
        part = word[:2]
        return (
            f"that starts with '{part.capitalize()}'",
            lambda text: text.lower()[:2] == part[: len(text)],
            lambda text: text.lower().startswith(part),
        )
    if rule == "ends":
        part = word[-3:]
        return f"that ends with '{part}'", _any, lambda text: text.lower().endswith(part)
    if rule == "contains":
        part = word[1:3]
        return f"that contains '{part}'", _any, lambda text: part in text.lower()
    if rule == "letters":
        count = len(word)
        return f"that has {count} letters", lambda text: len(text) <= count, lambda text: len(text) == count
    letter = next(letter for letter in "eaiort" if letter not in word)

    def lacks(text: str) -> bool:
        return letter not in text.lower()

    return f"without the letter '{letter}'", lacks, lacks


def _any(_: str) -> bool:
    return True


def chat(question: Question) -> list[dict[str, str]]:
    turns = [{"role": "system", "content": "Answer with one word."}]
    for asked, answer in EXAMPLES:
        turns += [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}]
    return [*turns, {"role": "user", "content": question.text}]


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A word (empty: none), and what it took."""

    text: str
    passes: int = 0
    checks: int = 0


class Ways:
    """The ways over one model."""

    def __init__(self, model: Model, particles: int, temperature: float) -> None:
        self.model = model
        self.particles = particles
        self.temperature = temperature
        self.compiled = model.compiler.compile_regex(LANGUAGE)
        self.budget = 0.0  # seconds that SMC took for the question at hand

    def named(self) -> dict[str, Callable[[Question, int], Answer]]:
        """In the order in which they run: SMC first, it sets the budget."""
        n = self.particles
        return {
            f"SMC ({n})": lambda question, seed: self.weighted(question, seed, n, 0.5),
            "masked": lambda question, seed: self.masked(question, seed, 1, retry=False),
            f"masked, retried ({n})": lambda question, seed: self.masked(question, seed, n, retry=True),
            "AWRS": lambda question, seed: self.weighted(question, seed, 1, 0.0),
            f"AWRS, weighted ({n})": lambda question, seed: self.weighted(question, seed, n, 0.0),
        }

    def weighted(self, question: Question, seed: int, particles: int, ess_threshold: float) -> Answer:
        """A text by mask and condition, drawn by weight."""
        rng = np.random.default_rng(seed)
        try:
            population = smc(
                self.model,
                chat(question),
                self.compiled,
                particles=particles,
                rng=rng,
                condition=OnText(question.so_far, question.at_end),
                ess_threshold=ess_threshold,
                temperature=self.temperature,
                max_tokens=MAX_TOKENS,
            )
        except AllParticlesDeadError as error:
            dead: Any = error.population
            return Answer(text="", passes=dead.passes, checks=dead.num_checks)
        except IncompleteGenerationError:
            return Answer(text="")
        return Answer(text=population.sample(rng).text, passes=population.passes, checks=population.num_checks)

    def masked(self, question: Question, seed: int, texts: int, *, retry: bool) -> Answer:
        """Texts by the mask: the first that keeps the rule, else the very first."""
        rng = np.random.default_rng(seed)
        began = time.perf_counter()
        first, passes, checks = "", 0, 0
        while True:
            try:
                population = smc(
                    self.model,
                    chat(question),
                    self.compiled,
                    particles=texts,
                    rng=rng,
                    ess_threshold=0.0,
                    temperature=self.temperature,
                    max_tokens=MAX_TOKENS,
                )
            except IncompleteGenerationError:
                return Answer(text=first, passes=passes, checks=checks)
            passes += population.passes
            finished = [one.text for one in population.particles if one.log_weight > -math.inf]
            first = first or finished[0]
            for text in finished if retry else []:
                checks += 1
                if question.at_end(text):
                    return Answer(text=text, passes=passes, checks=checks)
            if not retry or time.perf_counter() - began >= self.budget:
                return Answer(text=first, passes=passes, checks=checks)


def wilson(count: int, total: int) -> tuple[float, float]:
    """The 95 % interval of a share."""
    z = 1.96
    share = count / total
    middle = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total)) / (1 + z * z / total)
    return middle - half, middle + half


def share(flags: list[bool]) -> str:
    low, high = wilson(sum(flags), len(flags))
    return f"{statistics.fmean(flags):.0%} ({low:.0%} to {high:.0%})"


def difference(right: list[bool], reference: list[bool]) -> str:
    """Of right answers, by pairs."""
    pairs = [float(a) - float(b) for a, b in zip(right, reference, strict=True)]
    return f"{statistics.fmean(pairs):+.0%} ± {1.96 * statistics.stdev(pairs) / math.sqrt(len(pairs)):.0%}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--particles", type=int, default=8)
    parser.add_argument("--temperature", type=float, default=1.0)
    parser.add_argument("--questions", type=int, default=0, help="the seed of the questions")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    model = load_model("smollm2")
    model.network.float()
    ways = Ways(model, arguments.particles, arguments.temperature)
    asked = questions(arguments.questions)
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in ways.named()}
    for number, question in enumerate(asked):
        for seed in range(arguments.seeds):
            for name, way in ways.named().items():
                began = time.perf_counter()
                answer = way(question, 1000 * number + seed)
                seconds = time.perf_counter() - began
                if name.startswith("SMC"):
                    ways.budget = seconds
                kept = bool(answer.text) and question.at_end(answer.text)
                found[name].append(
                    {
                        "question": question.text, "rule": question.rule, "text": answer.text, "kept": kept,
                        "right": kept and answer.text.lower() in question.answers, "s": seconds,
                        "passes": answer.passes, "checks": answer.checks,
                    }
                )  # fmt: skip
    console = Console(width=150)
    reference = [entry["right"] for entry in next(iter(found.values()))]
    rows = {}
    for name, entries in found.items():
        right = [entry["right"] for entry in entries]
        rows[name] = [
            share([entry["kept"] for entry in entries]), share(right), difference(right, reference),
            figure(statistics.median(entry["s"] for entry in entries)),
            figure(statistics.fmean(entry["s"] for entry in entries)),
            f"{statistics.fmean(entry['passes'] for entry in entries):.1f}",
            f"{statistics.fmean(entry['checks'] for entry in entries):.0f}",
        ]  # fmt: skip
    columns = ["kept", "right", "right − SMC's", "s, median", "s, mean", "passes", "checks"]
    title = f"{len(reference)} answers to {len(asked)} questions, temperature {arguments.temperature}"
    show_table(console, title, columns, rows)
    rules = list(dict.fromkeys(question.rule for question in asked))
    rows = {
        name: [
            f"{statistics.fmean(entry['right'] for entry in entries if entry['rule'] == rule):.0%}" for rule in rules
        ]
        for name, entries in found.items()
    }
    show_table(console, "right, by rule", rules, rows)
    if arguments.json:
        results = {"environment": environment(["grammar-engine", "torch", "transformers"])} | found
        arguments.json.write_text(json.dumps(results, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
