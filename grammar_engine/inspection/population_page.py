"""A population of particles as one HTML page: weights over steps, who descends from whom, the texts.

    ancestry   a column per step, a row per particle; a disc's area is the particle's share of the weight before
               resampling, its colour the first particle it descends from; lines lead to whom it was copied to.
               What has no descendant at the end is pale. A mark under a column: resampled behind this step
    evenness   effective sample size over steps, of N
    texts      each particle's state, share, weight and text

Nothing is loaded from elsewhere and no script runs; the page is well-formed XML too. Texts come from a model: they are
escaped, and what cannot be seen in them (controls, marks that turn the direction of writing) is spelled out.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from grammar_engine.inspection.markup import title_text, visible
from grammar_engine.sampling.resampling import normalized

if TYPE_CHECKING:
    from grammar_engine.sampling.population import Particle, Population

_COLUMN, _ROW, _LEFT, _TOP = 22, 22, 36, 12
_ESS_HEIGHT = 60

_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"/><title>{name}</title>
<style>
body {{ font: 14px/1.4 system-ui, sans-serif; margin: 2em; color: #222; background: #fff }}
div.wide {{ overflow-x: auto }}
svg text {{ font: 10px system-ui, sans-serif; fill: #666 }}
line, polyline {{ fill: none; stroke-width: 1.5 }}
.lost {{ opacity: .22 }}
table {{ border-collapse: collapse; margin-top: 1em }}
td, th {{ padding: .2em .8em; text-align: right; vertical-align: top; border-top: 1px solid #ddd }}
td:last-child, th:last-child {{ text-align: left }}
pre {{ margin: 0; white-space: pre-wrap; overflow-wrap: anywhere }}
i {{ color: #b33; font-style: normal }}
</style></head><body>
<h1>{title}</h1>
<p>{summary}</p>
<h2>Ancestry and weights</h2>
<div class="wide">{ancestry}</div>
<h2>Effective sample size</h2>
<div class="wide">{evenness}</div>
<h2>Texts</h2>
<table>
<tr><th>particle</th><th>first</th><th>state</th><th>share</th><th>log weight</th><th>log p</th>
<th>text</th></tr>
{rows}
</table></body></html>
"""


def population_page(population: Population, title: str = "Population") -> str:
    """The page, as HTML text; the same population gives the same text."""
    return _PAGE.format(
        name=title_text(title),
        title=visible(title),
        summary=_summary(population),
        ancestry=_ancestry(population),
        evenness=_evenness(population),
        rows="\n".join(
            _table_row(slot, particle, share)
            for slot, (particle, share) in enumerate(
                zip(population.particles, _shares(population.log_weights), strict=True)
            )
        ),
    )


def _summary(population: Population) -> str:
    states = [particle.state for particle in population.particles]
    counted = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    resampled = sum(step.ancestors is not None for step in population.history)
    figures = [
        f"{len(states)} particles ({counted})",
        f"{len(population.history)} steps, resampled behind {resampled}",
        f"log evidence {_number(population.log_evidence)} (variance {_number(population.log_evidence_variance)})",
        f"effective sample size at the end {_number(population.final_ess)}",
        f"{population.num_checks} checks of the condition",
        f"{population.passes} passes of the model",
    ]
    return " · ".join(figures)


def _ancestry(population: Population) -> str:
    history = population.history
    count = len(population.particles)
    eves = list(range(count))
    by_step = []
    for step in history:
        by_step.append(eves)
        eves = eves if step.ancestors is None else [eves[ancestor] for ancestor in step.ancestors]
    kept = _with_descendants(population)
    lines, discs, marks = [], [], []
    for number, step in enumerate(history):
        sources = range(count) if step.ancestors is None else step.ancestors
        shares = _shares(step.log_weights)
        if step.ancestors is not None:
            marks.append(f'<text x="{_x(number) - 3}" y="{_y(count)}">▲</text>')
        for slot in range(count):
            source = sources[slot]
            if number + 1 < len(history) and step.log_weights[source] > -math.inf:
                alive = "" if slot in kept[number + 1] else ' class="lost"'
                lines.append(
                    f'<line x1="{_x(number)}" y1="{_y(source)}" x2="{_x(number + 1)}" y2="{_y(slot)}" '
                    f'stroke="{_colour(by_step[number][source], count)}"{alive}/>'
                )
            discs.append(_disc(population, number, slot, shares[slot], by_step[number][slot], slot in kept[number]))
    names = [f'<text x="2" y="{_y(slot) + 4}">{slot}</text>' for slot in range(count)]
    return _svg(len(history), _y(count) + 6, [*names, *lines, *discs, *marks])


def _with_descendants(population: Population) -> list[set[int]]:
    """Of each step the slots that some particle with weight at the end descends from; the end is one more."""
    kept = {slot for slot, particle in enumerate(population.particles) if particle.log_weight > -math.inf}
    found = [kept]
    for step in reversed(population.history):
        kept = kept if step.ancestors is None else {step.ancestors[slot] for slot in kept}
        found.append(kept)
    return found[::-1]


def _disc(population: Population, number: int, slot: int, share: float, eve: int, alive: bool) -> str:
    step = population.history[number]
    token = "no token" if step.token_ids[slot] < 0 else f"token {step.token_ids[slot]}"
    said = f"step {number + 1}, particle {slot}: {token}, log weight {_number(step.log_weights[slot])}, {share:.1%}"
    radius = 1.2 + 8 * math.sqrt(share)
    pale = "" if alive else ' class="lost"'
    return (
        f'<circle cx="{_x(number)}" cy="{_y(slot)}" r="{radius:.2f}" '
        f'fill="{_colour(eve, len(population.particles))}"{pale}><title>{said}</title></circle>'
    )


def _evenness(population: Population) -> str:
    count = max(len(population.particles), 1)
    places = [
        f"{_x(number)},{_TOP + _ESS_HEIGHT * (1 - step.ess / count):.1f}"
        for number, step in enumerate(population.history)
    ]
    right = _x(max(len(places), 1) - 1)
    drawn = [
        f'<text x="2" y="{_TOP + 4}">{count}</text>',
        f'<text x="2" y="{_TOP + _ESS_HEIGHT + 4}">0</text>',
        f'<line x1="{_x(0)}" y1="{_TOP + _ESS_HEIGHT}" x2="{right}" y2="{_TOP + _ESS_HEIGHT}" stroke="#ccc"/>',
        f'<polyline points="{" ".join(places)}" stroke="#36c"/>',
    ]
    return _svg(len(places), 2 * _TOP + _ESS_HEIGHT, drawn)


def _table_row(slot: int, particle: Particle, share: float) -> str:
    cells = (
        f"{slot}", f"{particle.eve}", particle.state, f"{share:.1%}", _number(particle.log_weight),
        _number(particle.logprob),
    )  # fmt: skip
    plain = "".join(f"<td>{cell}</td>" for cell in cells)
    return f"<tr>{plain}<td><pre>{visible(particle.text)}</pre></td></tr>"


def _svg(columns: int, height: int, parts: list[str]) -> str:
    width = _x(max(columns, 1) - 1) + _COLUMN
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" role="img">\n'
        + "\n".join(parts)
        + "\n</svg>"
    )


def _x(column: int) -> int:
    return _LEFT + column * _COLUMN


def _y(row: int) -> int:
    return _TOP + row * _ROW


def _colour(eve: int, count: int) -> str:
    """Evenly spaced hues."""
    return f"hsl({round(360 * eve / max(count, 1))},65%,45%)"


def _shares(log_weights: npt.NDArray[np.float64] | tuple[float, ...]) -> list[float]:
    array = np.array(log_weights, np.float64)
    if not len(array) or array.max() == -math.inf:
        return [0.0] * len(array)
    shares: list[float] = normalized(array).tolist()
    return shares


def _number(value: float) -> str:
    if math.isnan(value):
        return "unknown"
    return "−∞" if value == -math.inf else f"{value:.3f}"
