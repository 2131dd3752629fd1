"""Questions over a SQLite schema, answered by SmolLM2: do names exist, and is the answer right, by way of sampling?

    python benchmarks/sampling_task.py [--seeds 2] [--particles 8] [--temperature 0.3] [--json FILE]

The grammar is a SELECT over one table with names of any letters; that columns and tables exist, and belong together, is
a condition (names by prefix while they are written; SQLite itself at the end: ``known_to_sqlite``). Ways, with one seed
each per question and seed:

    masked              one text by the mask
    masked, verified    N texts by the mask, side by side; the first one that the condition accepts
    AWRS                one text by mask and condition
    SMC                 N particles by mask and condition; one is drawn by weight

Valid: SQLite can prepare the query. Right: it returns the rows that the reference query returns. The second and the
fourth way make about as many passes of the model, over as many rows.
"""

from __future__ import annotations

import argparse
import json
import math
import sqlite3
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from common import environment, figure, show_table
from rich.console import Console

from grammar_engine.errors import AllParticlesDeadError, IncompleteGenerationError
from grammar_engine.models import Model, load_model
from grammar_engine.sampling import Condition, OnText, Partial, smc
from grammar_engine.sampling.ready_made import known_to_sqlite

TABLES = {
    "customer": ("id", "full_name", "home_city", "age"),
    "product": ("id", "title", "unit_price", "stock"),
    "purchase": ("id", "customer_id", "product_id", "quantity"),
}
SCRIPT = """
CREATE TABLE customer (id INTEGER, full_name TEXT, home_city TEXT, age INTEGER);
CREATE TABLE product (id INTEGER, title TEXT, unit_price INTEGER, stock INTEGER);
CREATE TABLE purchase (id INTEGER, customer_id INTEGER, product_id INTEGER, quantity INTEGER);
"""
ROWS = """
INSERT INTO customer VALUES (1,'Ada','Paris',36),(2,'Bo','Oslo',19),(3,'Cy','Paris',51),(4,'Di','Rome',28);
INSERT INTO product VALUES (1,'lamp',30,4),(2,'desk',120,0),(3,'chair',60,9),(4,'rug',45,2);
INSERT INTO purchase VALUES (1,1,2,1),(2,3,1,4),(3,2,3,2),(4,1,4,7);
"""
QUESTIONS = {
    "What are the names of the customers who live in Paris?":
        "SELECT full_name FROM customer WHERE home_city = 'Paris'",
    "How old is the customer called Ada?": "SELECT age FROM customer WHERE full_name = 'Ada'",
    "Which products cost more than 50?": "SELECT title FROM product WHERE unit_price > 50",
    "How many products are there?": "SELECT COUNT(*) FROM product",
    "What does the desk cost?": "SELECT unit_price FROM product WHERE title = 'desk'",
    "In which city does Di live?": "SELECT home_city FROM customer WHERE full_name = 'Di'",
    "How many customers are older than 30?": "SELECT COUNT(*) FROM customer WHERE age > 30",
    "How many chairs are in stock?": "SELECT stock FROM product WHERE title = 'chair'",
    "Which customers bought product 2?": "SELECT customer_id FROM purchase WHERE product_id = 2",
    "List the titles of all products.": "SELECT title FROM product",
    "What quantities did customer 1 buy?": "SELECT quantity FROM purchase WHERE customer_id = 1",
    "Who is younger than 25?": "SELECT full_name FROM customer WHERE age < 25",
}  # fmt: skip
INTRODUCTION = """Answer each question with one SQL query over these tables:
customer(id, full_name, home_city, age)
product(id, title, unit_price, stock)
purchase(id, customer_id, product_id, quantity)
"""
EXAMPLES = {
    "Which city is the home of Ed?": "SELECT home_city FROM customer WHERE full_name = 'Ed'",
    "How many products cost less than 40?": "SELECT COUNT(*) FROM product WHERE unit_price < 40",
    "What is the title of product 3?": "SELECT title FROM product WHERE id = 3",
    "List the ages of all customers.": "SELECT age FROM customer",
    "Which products did customer 2 buy?": "SELECT product_id FROM purchase WHERE customer_id = 2",
}
LANGUAGE = (
    r"SELECT ([a-z_]{1,16}|COUNT\(\*\)) FROM [a-z_]{1,16}"
    r"( WHERE [a-z_]{1,16} (=|<|>) ([0-9]{1,4}|'[A-Za-z]{1,12}'))?"
)
MAX_TOKENS = 60


def names_known(text: str) -> bool:
    """Whether the names so far exist, and in one table; the last word may be incomplete."""
    words = text.split(" ")
    tables = list(TABLES)

    def matches(number: int, name: str) -> bool:
        return name == words[number] if number < len(words) - 1 else name.startswith(words[number])

    if len(words) > 3:
        tables = [table for table in tables if matches(3, table)]
    for number in (1, 5):
        if number < len(words) and not (number == 1 and "COUNT(*)".startswith(words[1])):
            tables = [table for table in tables if any(matches(number, column) for column in TABLES[table])]
    return bool(tables)


def chat(question: str) -> list[dict[str, str]]:
    """The tables, the examples and the question, as turns of a conversation."""
    turns = []
    for asked, answer in EXAMPLES.items():
        turns += [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}]
    return [{"role": "system", "content": INTRODUCTION}, *turns, {"role": "user", "content": question}]


class Ways:
    """The four ways over one model."""

    def __init__(self, model: Model, particles: int, temperature: float) -> None:
        self.model = model
        self.particles = particles
        self.temperature = temperature
        self.compiled = model.compiler.compile_regex(LANGUAGE)
        self.exists = known_to_sqlite(SCRIPT)
        self.condition: Condition = OnText(names_known) & self.exists
        self.ways: dict[str, Callable[[str, int], tuple[str, int, int]]] = {
            "masked": lambda question, seed: self.run(question, seed, None, 1),
            f"masked, verified ({particles})": lambda question, seed: self.run(question, seed, None, particles),
            "AWRS": lambda question, seed: self.run(question, seed, self.condition, 1),
            f"SMC ({particles})": lambda question, seed: self.run(question, seed, self.condition, particles),
        }

    def run(self, question: str, seed: int, condition: Condition | None, particles: int) -> tuple[str, int, int]:
        """The answer (empty: none), passes of the model, checks."""
        rng = np.random.default_rng(seed)
        try:
            population = smc(
                self.model,
                chat(question),
                self.compiled,
                particles=particles,
                rng=rng,
                condition=condition,
                ess_threshold=0.0 if condition is None else 0.5,
                temperature=self.temperature,
                max_tokens=MAX_TOKENS,
            )
        except AllParticlesDeadError as error:
            dead: Any = error.population
            return "", dead.passes, dead.num_checks
        except IncompleteGenerationError:
            return "", 0, 0
        if condition is not None:
            return population.sample(rng).text, population.passes, population.num_checks
        texts = [particle.text for particle in population.particles if particle.log_weight > -math.inf]
        valid = [text for text in texts if self.is_valid(text)]
        return (valid or texts)[0], population.passes, len(texts)

    def is_valid(self, text: str) -> bool:
        """Whether SQLite can prepare it."""
        return self.exists.accepts(Partial(text.encode(), complete=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--particles", type=int, default=8)
    parser.add_argument("--temperature", type=float, default=0.3)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    model = load_model("smollm2")
    model.network.float()
    database = sqlite3.connect(":memory:")
    database.executescript(SCRIPT + ROWS)
    ways = Ways(model, arguments.particles, arguments.temperature)
    results: dict[str, Any] = {"environment": environment(["grammar-engine", "torch", "transformers"])}
    rows = {}
    for name, way in ways.ways.items():
        found = []
        for number, (question, reference) in enumerate(QUESTIONS.items()):
            wanted = sorted(database.execute(reference).fetchall())
            for seed in range(arguments.seeds):
                began = time.perf_counter()
                text, passes, checks = way(question, 1000 * number + seed)
                seconds = time.perf_counter() - began
                valid = bool(text) and ways.is_valid(text)
                right = valid and sorted(database.execute(text).fetchall()) == wanted
                found.append(
                    {"text": text, "valid": valid, "right": right, "s": seconds, "passes": passes, "checks": checks}
                )
        results[name] = found
        rows[name] = [
            f"{statistics.fmean(entry['valid'] for entry in found):.0%}",
            f"{statistics.fmean(entry['right'] for entry in found):.0%}",
            figure(statistics.median(entry["s"] for entry in found)),
            f"{statistics.fmean(entry['passes'] for entry in found):.1f}",
            f"{statistics.fmean(entry['checks'] for entry in found):.1f}",
        ]
    console = Console(width=120)
    columns = ["valid", "right", "s, median", "passes", "checks"]
    count = len(QUESTIONS) * arguments.seeds
    show_table(console, f"{count} answers, temperature {arguments.temperature}", columns, rows)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
