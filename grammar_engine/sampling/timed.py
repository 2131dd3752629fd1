"""A limit on how long a condition may think.

Each check runs in a thread of its own, which is left behind where it takes too long: Python cannot end a thread. Hence:

- a check that never ends occupies a processor until the program does (it does not keep the program from ending);
- one that holds the interpreter's lock all the while, as Python's ``re`` does, is noticed when it lets go of it;
- what may only be used in the thread that made it (some database connections) cannot be asked.

A check that is too slow is an error and not a refusal: verdicts that depend on a clock would make two runs with one
seed differ.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from grammar_engine.errors import ConditionTimeoutError, InvalidArgumentError
from grammar_engine.sampling.conditions import Both, Condition, Partial, as_condition, naming

_ONE_BY_ONE = (Condition.accept_many, Both.accept_many)


@dataclass(frozen=True)
class Timed(Condition):
    """See ``within``."""

    seconds: float
    condition: Condition

    def accepts(self, partial: Partial) -> bool:
        """See ``Condition``."""
        return self._in_time(lambda: [self.condition.accepts(partial)], [partial])[0]

    def accept_many(self, partials: Sequence[Partial]) -> list[bool]:
        """See ``Condition``; the limit is for one text, or for one call of a condition that takes many in one."""
        if type(self.condition).accept_many in _ONE_BY_ONE:
            return super().accept_many(partials)
        return self._in_time(lambda: self.condition.accept_many(partials), partials)

    def _in_time(self, check: Callable[[], list[bool]], partials: Sequence[Partial]) -> list[bool]:
        texts = tuple(partial.text for partial in partials)
        answer = _Answer(check)
        threading.Thread(target=answer.find, name="grammar-engine-condition", daemon=True).start()
        if not answer.ready.wait(self.seconds) or answer.seconds > self.seconds:
            raise ConditionTimeoutError(self.seconds, texts=texts)
        if answer.error is not None:
            with naming(*texts):
                raise answer.error
        return answer.verdicts


@dataclass
class _Answer:
    """What a check says, from another thread."""

    check: Callable[[], list[bool]]
    ready: threading.Event = field(default_factory=threading.Event)
    verdicts: list[bool] = field(default_factory=list)
    error: BaseException | None = None
    seconds: float = 0.0

    def find(self) -> None:
        began = time.monotonic()
        try:
            self.verdicts = self.check()
        except BaseException as error:  # noqa: BLE001  (raised in the thread that asked)
            self.error = error
        self.seconds = time.monotonic() - began
        self.ready.set()


def within(seconds: float, condition: Condition | Callable[[str], bool]) -> Condition:
    """The condition, with a limit on the wall time of each check.

    Args:
        seconds: above 0; for one text, or for one call of a condition that is asked about many at once (``OnTexts``).
        condition: what is asked. A thread per check costs some 50 to 100 µs.

    Raises:
        InvalidArgumentError: a limit that is not above 0. (When asked: ``ConditionTimeoutError``.)
    """
    if not 0 < seconds < math.inf:
        raise InvalidArgumentError(f"must be a number of seconds above 0, not {seconds}", argument="seconds")
    return Timed(seconds, as_condition(condition))
