"""A canvas filling up, as one HTML page: slot by slot, step by step, what was masked and why.

    picture    a column per slot, a row per step. Full colour: filled in that step, the darker the surer; pale: filled
               before; a red corner: what the model liked best there is not allowed; orange: chosen, but refused
               together with better choices, or rejected by lookahead; blue: from a witness; grey: behind the end;
               ring: opened again behind the step. Each square says more when pointed at
    canvas     the text behind each step, a dot for an open slot
    slots      of each slot: its token, when it was filled and how sure, and what the model had liked better

Nothing is loaded from elsewhere and no script runs; the page is well-formed XML too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from grammar_engine.diffusion.records import COMMITTED, CONFLICT, RECOVERED, REJECTED, TAIL, WAITING
from grammar_engine.inspection.markup import title_text, visible

if TYPE_CHECKING:
    from grammar_engine.diffusion.records import DiffusionResult, SlotRecord, StepRecord

_CELL, _LEFT, _TOP = 14, 36, 20
_FILLED = "#dbe7d8"
_WHY = {
    COMMITTED: "filled",
    WAITING: "waits",
    CONFLICT: "refused together with better choices",
    REJECTED: "rejected: no lookahead got through",
    RECOVERED: "filled from the last witness",
    TAIL: "behind the end",
}

_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"/><title>{name}</title>
<style>
body {{ font: 14px/1.4 system-ui, sans-serif; margin: 2em; color: #222; background: #fff }}
div.wide {{ overflow-x: auto }}
svg text {{ font: 10px system-ui, sans-serif; fill: #666 }}
rect {{ stroke: #ccc; stroke-width: .5 }}
table {{ border-collapse: collapse; margin-top: 1em }}
td, th {{ padding: .2em .8em; text-align: right; vertical-align: top; border-top: 1px solid #ddd }}
td:last-child, th:last-child, td.text {{ text-align: left }}
pre {{ margin: 0; white-space: pre-wrap; overflow-wrap: anywhere }}
i {{ color: #b33; font-style: normal }}
b {{ color: #195; font-weight: normal; background: #e4f3e4 }}
u {{ color: #bbb; text-decoration: none }}
</style></head><body>
<h1>{title}</h1>
<p>{summary}</p>
<h2>Slots over steps</h2>
<div class="wide">{picture}</div>
<h2>The canvas behind each step</h2>
<table>
<tr><th>step</th><th>block</th><th>filled</th><th>text</th></tr>
{steps}
</table>
<h2>Slots</h2>
<table>
<tr><th>slot</th><th>token</th><th>step</th><th>probability</th><th>allowed</th><th>the model had liked better</th></tr>
{slots}
</table></body></html>
"""


def canvas_page(result: DiffusionResult[Any], title: str = "Canvas") -> str:
    """The page, as HTML text; the same result gives the same text."""
    drawing = _Drawing(result)
    return _PAGE.format(
        name=title_text(title),
        title=visible(title),
        summary=_summary(result),
        picture=drawing.picture(),
        steps="\n".join(drawing.step_row(step) for step in result.history),
        slots="\n".join(drawing.slot_row(slot) for slot in range(len(result.canvas))),
    )


def token_text(shown: Any, token: int) -> str:
    """A token as it is shown: its text (halves of characters as �), or its number if it has none."""
    text = shown.tokens[token]
    return f"⟨{token}⟩" if text is None else text.decode("utf-8", "replace")


def _summary(result: DiffusionResult[Any]) -> str:
    counters = result.counters
    figures = [
        f"{len(result.canvas)} slots, {len(result.token_ids)} tokens of text",
        "complete" if result.complete else "not in the language",
        f"{counters.forwards} passes of the model",
        f"{counters.commits} tokens chosen, {counters.tail_tokens} behind the end",
        f"{counters.checks} batches checked, {counters.rejected_batches} refused",
    ]
    if counters.reopened:
        figures.append(f"{counters.reopened} slots opened again")
    if counters.verifications:
        figures.append(
            f"{counters.verifications} proposals verified by lookahead, {counters.rejects} rejected, "
            f"{counters.recoveries} recoveries"
        )
    return " · ".join(figures)


class _Drawing:
    def __init__(self, result: DiffusionResult[Any]) -> None:
        self._result = result
        self._mask = result.mask_token_id
        self._shown = result.shown
        # Of each slot the step that filled it for good, and what it saw.
        self._filled: dict[int, tuple[int, SlotRecord]] = {}
        for step in result.history:
            for slot in step.slots:
                if slot.state in (COMMITTED, RECOVERED, TAIL):
                    self._filled[slot.slot] = step.number, slot

    def picture(self) -> str:
        steps, slots = self._result.history, len(self._result.canvas)
        parts = [f'<text x="{_x(slot)}" y="{_TOP - 6}">{slot}</text>' for slot in range(0, slots, 10)]
        before = self._start()
        for row, step in enumerate(steps):
            parts.append(f'<text x="2" y="{_y(row) + 11}">{step.number}</text>')
            parts += self._runs(row, before)
            parts += [self._cell(row, step, slot) for slot in step.slots]
            parts += [
                f'<circle cx="{_x(slot) + _CELL // 2}" cy="{_y(row) + _CELL // 2}" r="5" fill="none" stroke="#93c" '
                f'stroke-width="2"><title>slot {slot} is opened again</title></circle>'
                for slot in step.reopened
            ]
            before = [token if slot not in step.reopened else self._mask for slot, token in enumerate(step.token_ids)]
        width, height = _x(slots) + _CELL, _y(len(steps)) + 6
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" role="img">\n'
            + "\n".join(parts)
            + "\n</svg>"
        )

    def _start(self) -> list[int]:
        """The canvas before the first step: what no step has filled was given."""
        touched = {slot.slot for step in self._result.history for slot in step.slots}
        return [self._mask if slot in touched else token for slot, token in enumerate(self._result.canvas)]

    def _runs(self, row: int, before: list[int]) -> list[str]:
        """What was filled before the step: neighbours as one bar."""
        bars = []
        slot = 0
        while slot < len(before):
            first = slot
            while slot < len(before) and before[slot] != self._mask:
                slot += 1
            if slot > first:
                bars.append(
                    f'<rect x="{_x(first)}" y="{_y(row)}" width="{(slot - first) * _CELL}" height="{_CELL}" '
                    f'fill="{_FILLED}"/>'
                )
            slot += 1
        return bars

    def _cell(self, row: int, step: StepRecord, slot: SlotRecord) -> str:
        x, y = _x(slot.slot), _y(row)
        said = title_text(f"step {step.number}, slot {slot.slot}: {self._said(slot)}")
        square = f'<rect x="{x}" y="{y}" width="{_CELL}" height="{_CELL}" fill="{_colour(slot)}"/>'
        corner = ""
        if slot.is_allowed is False and slot.state != TAIL:
            corner = f'<path d="M{x + _CELL} {y}h-6l6 6z" fill="#c33"/>'
        return f"<g><title>{said}</title>{square}{corner}</g>"

    def _said(self, slot: SlotRecord) -> str:
        proposal, choice = repr(token_text(self._shown, slot.proposal)), repr(token_text(self._shown, slot.choice))
        if slot.state == TAIL:
            return f"{choice}, {_WHY[TAIL]}"
        among = "" if slot.num_allowed < 0 else f" of {slot.num_allowed} allowed"
        masked = f"the model likes {proposal}, which is not allowed; " if slot.is_allowed is False else ""
        return f"{masked}{choice}{among}, probability {slot.confidence:.3f}: {_WHY[slot.state]}"

    def step_row(self, step: StepRecord) -> str:
        new = {slot.slot for slot in step.slots if slot.state in (COMMITTED, RECOVERED)}
        tail = {slot.slot for slot in step.slots if slot.state == TAIL}
        ends = {s for s, token in enumerate(step.token_ids) if token in self._shown.stop_token_ids}
        end = min(ends, default=len(step.token_ids))
        parts = []
        for slot, token in enumerate(step.token_ids[:end]):
            if token == self._mask:
                parts.append("<u>·</u>")
            else:
                text = visible(token_text(self._shown, token))
                parts.append(f"<b>{text}</b>" if slot in new else text)
        filled = f"{len(new)}" + (f" + {len(tail)}" if tail else "")
        block = f"{step.block[0]}–{step.block[1] - 1}"
        return (
            f'<tr><td>{step.number}</td><td>{block}</td><td>{filled}</td><td class="text"><pre>{"".join(parts)}</pre>'
            "</td></tr>"
        )

    def slot_row(self, slot: int) -> str:
        token = f"<pre>{visible(token_text(self._shown, self._result.canvas[slot]))}</pre>"
        if slot not in self._filled:
            return f'<tr><td>{slot}</td><td class="text">{token}</td><td></td><td></td><td></td><td>given</td></tr>'
        number, record = self._filled[slot]
        if record.state == TAIL:
            return (
                f'<tr><td>{slot}</td><td class="text">{token}</td><td>{number}</td><td></td><td></td>'
                "<td>behind the end</td></tr>"
            )
        allowed = "" if record.num_allowed < 0 else str(record.num_allowed)
        better = ""
        if record.proposal != record.choice:
            why = " (not allowed)" if record.is_allowed is False else ""
            better = f"<pre>{visible(token_text(self._shown, record.proposal))}{why}</pre>"
        return (
            f'<tr><td>{slot}</td><td class="text">{token}</td><td>{number}</td><td>{record.confidence:.3f}</td>'
            f"<td>{allowed}</td><td>{better}</td></tr>"
        )


def _colour(slot: SlotRecord) -> str:
    if slot.state == COMMITTED:
        return f"hsl(130,50%,{round(75 - 40 * slot.confidence)}%)"
    return {CONFLICT: "#f0a030", REJECTED: "#f0a030", RECOVERED: "#47b", TAIL: "#ddd"}.get(slot.state, "#fff")


def _x(slot: int) -> int:
    return _LEFT + slot * _CELL


def _y(row: int) -> int:
    return _TOP + row * _CELL
