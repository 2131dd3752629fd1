r"""Properly weighted draws: a token that a check accepts, and a weight that makes up for what the check refuses.

    E[w · f(token)] = Σ over accepted tokens of p(token) · f(token)        for every f; with f = 1: E[w] = Z

``masked``: the accepted tokens are known (a bitmask). The draw is from p restricted to them, w = Z, and nothing varies.

``awrs``: they are not; a check tells of one token at a time, and checks are what costs. *Adaptive weighted rejection
sampling* (Lipkin et al. 2025, "Fast controlled generation from language models with adaptive weighted rejection
sampling") draws without replacement until a token is accepted, and estimates Z from what it has seen. Two estimators:

    recursive       tokens in random order (``race``), R the mass left before the first accepted token x; check the next
                    token y as well:  w = R if y is accepted,  else p(x);  R if there is none
                    Why: y is accepted with probability (Z − p(x)) / (R − p(x)), and then
                    E[w | x] = R (Z − p(x))/(R − p(x)) + p(x) (R − Z)/(R − p(x)) = Z.
                    Checks in the mean: 2 + Σ over refused i of p(i) / (p(i) + Z)

    geometric(A)    A passes of plain rejection sampling, simulated: what was refused once is not checked again, but a
                    pass would draw it Geometric(R) − 1 times before something else (R: the mass not yet refused), and
                    those draws count. r refusals before A acceptances:  w = (A − 1) / (A + r − 1)  (Haldane 1945);
                    a acceptances before ``max_rejects`` refusals:  w = a / (a + r − 1)
                    (Girshick, Mosteller and Savage 1946: unbiased wherever counts decide when to stop).

    exact           every token that has mass is checked:  w = Z.  For few tokens

    low_variance    recursive where one token has more than half of the mass, else geometric. Known before any check, so
                    the choice adds no bias

The recursive one checks little, and varies little where what it sees first is most of the mass. Of flat masses it sees
hardly anything: Var(w / Z) is then about 1 / Z; for the geometric one it is about ln(1 / Z) whatever the masses, and it
can pay for a better estimate with more passes. ``benchmarks/weighted_draws.py --tables estimators`` compares them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from grammar_engine.errors import InvalidArgumentError
from grammar_engine.sampling.race import without_replacement

Accept = Callable[[int], bool]
Order = Iterator[tuple[int, float]]
"""Tokens in random order, and the log of the mass left before each."""
Checks = Generator[int, bool, "Draw"]
"""A draw in the making: it yields tokens to check, is sent the verdicts, and returns. Many are checked together so."""
METHODS = ("auto", "recursive", "geometric", "low_variance", "exact")


@dataclass(frozen=True)
class Draw:
    """A weighted token.

    token:      its id; None if no token is accepted (the weight is then 0).
    log_weight: log w; −inf for a weight of 0.
    num_checks: how many tokens were checked.
    """

    token: int | None
    log_weight: float
    num_checks: int


def masked(logps: npt.NDArray[np.floating], bitmask_row: npt.NDArray[np.int32], *, rng: np.random.Generator) -> Draw:
    """Draw from the tokens that a mask allows; the weight is their mass.

    Args:
        logps: ``(V,)`` log-probabilities (or log-masses: the weight is of the same measure).
        bitmask_row: int32 ``(ceil(V / 32),)``, bit 1 = allowed.
        rng: the only source of randomness; one number is drawn.

    Raises:
        InvalidArgumentError: shapes that do not fit, or log-masses that are NaN or +inf.
    """
    logps = checked_masses(logps)
    if bitmask_row.ndim != 1 or len(bitmask_row) * 32 < len(logps):
        raise InvalidArgumentError(
            f"a row of {bitmask_row.shape} words does not cover {len(logps)} tokens", argument="bitmask_row"
        )
    bits = np.unpackbits(bitmask_row.view(np.uint8), bitorder="little", count=len(logps)).view(np.bool_)
    tokens = np.flatnonzero(bits)
    largest = float(logps[tokens].max(initial=-math.inf))
    if largest == -math.inf:
        return Draw(None, -math.inf, 0)
    cumulative = np.cumsum(np.exp(logps[tokens] - largest, dtype=np.float64))
    total = float(cumulative[-1])
    index = int(np.searchsorted(cumulative, rng.random() * total, side="right"))
    if index == len(tokens):  # u · total was rounded up to total
        index = int(np.searchsorted(cumulative, total))
    return Draw(int(tokens[index]), math.log(total) + largest, 0)


def awrs(
    logps: npt.NDArray[np.floating],
    accept: Accept,
    *,
    rng: np.random.Generator,
    method: str = "auto",
    max_accepts: int = 2,
    max_rejects: int | None = None,
) -> Draw:
    """Draw a token that ``accept`` accepts, properly weighted.

    Args:
        logps: ``(V,)`` log-probabilities (or log-masses: the weight is of the same measure); −inf is never drawn.
        accept: whether a token is accepted; asked at most once for each.
        rng: the only source of randomness.
        method: "recursive", "geometric", "low_variance", "exact", or "auto": recursive, unless ``max_accepts`` or
            ``max_rejects`` is given, then geometric. (Populations choose otherwise: ``particle_draws``.)
        max_accepts: passes of the geometric estimator, at least 2: its variance falls with them.
        max_rejects: geometric: give up after so many refusals, those counted that plain rejection sampling would have
            met again; so it bounds the checks as well. The weight stays unbiased: it is 0 more often instead.

    Returns:
        The draw; ``token`` None and weight 0 if no token that has mass is accepted, or none was found in time.

    Raises:
        InvalidArgumentError: an unknown method, limits out of range, log-masses that are NaN or +inf.
    """
    checks = awrs_checks(logps, rng=rng, method=method, max_accepts=max_accepts, max_rejects=max_rejects)
    try:
        token = next(checks)
        while True:
            token = checks.send(accept(token))
    except StopIteration as finished:
        draw: Draw = finished.value
        return draw


def awrs_checks(
    logps: npt.NDArray[np.floating],
    *,
    rng: np.random.Generator,
    method: str = "auto",
    max_accepts: int = 2,
    max_rejects: int | None = None,
) -> Checks:
    """``awrs`` that asks instead of calling: for checks that are made for many draws at a time."""
    logps = checked_masses(logps)
    order = without_replacement(logps, rng)
    return checks_in_order(
        order,
        lambda token: float(logps[token]),
        lambda: float(logps.max()),
        rng=rng,
        method=method,
        max_accepts=max_accepts,
        max_rejects=max_rejects,
    )


def checks_in_order(
    order: Order,
    log_mass: Callable[[int], float],
    largest: Callable[[], float],
    *,
    rng: np.random.Generator,
    method: str = "auto",
    max_accepts: int = 2,
    max_rejects: int | None = None,
) -> Checks:
    """``awrs_checks`` over an order of tokens that somebody else draws.

    Args:
        order: tokens with the log of the mass left before each (``race.without_replacement``).
        log_mass: of a token that the order has yielded.
        largest: the log-mass of the heaviest token; asked for when the order has yielded one.
        rng: for draws with replacement that the geometric estimator simulates.
        method, max_accepts, max_rejects: see ``awrs``.
    """
    if method not in METHODS:
        raise InvalidArgumentError(f"expected one of {', '.join(METHODS)}, not {method!r}", argument="method")
    if max_accepts < 2:
        raise InvalidArgumentError(f"must be at least 2, not {max_accepts}", argument="max_accepts")
    if max_rejects is not None and max_rejects < 1:
        raise InvalidArgumentError(f"must be at least 1, not {max_rejects}", argument="max_rejects")
    if method == "auto":
        method = "recursive" if max_accepts == 2 and max_rejects is None else "geometric"
    if method != "geometric":
        if max_rejects is not None:
            raise InvalidArgumentError(
                f"the {method} estimator cannot give up early without bias; use method='geometric'",
                argument="max_rejects",
            )
        if method == "exact":
            return _exact(order, log_mass)
        return _recursive(order, log_mass) if method == "recursive" else _steadier(order, log_mass, largest, rng)
    return _geometric(order, log_mass, rng, max_accepts, math.inf if max_rejects is None else max_rejects)


def _recursive(order: Order, log_mass: Callable[[int], float]) -> Checks:
    num_checks = 0
    for token, log_left in order:
        num_checks += 1
        if (yield token):
            following = next(order, None)
            if following is None:
                return Draw(token, log_left, num_checks)
            log_weight = log_left if (yield following[0]) else log_mass(token)
            return Draw(token, log_weight, num_checks + 1)
    return Draw(None, -math.inf, num_checks)


def _steadier(
    order: Order, log_mass: Callable[[int], float], largest: Callable[[], float], rng: np.random.Generator
) -> Checks:
    """One of the two estimators, by the share of the heaviest token (the order's first sum is the whole mass)."""
    first = next(order, None)
    if first is None:
        return Draw(None, -math.inf, 0)
    whole = itertools.chain([first], order)
    if largest() > first[1] - math.log(2):
        return (yield from _recursive(whole, log_mass))
    return (yield from _geometric(whole, log_mass, rng, 2, math.inf))


def _exact(order: Order, log_mass: Callable[[int], float]) -> Checks:
    """The first accepted token of an order is a draw in proportion to the masses of the accepted ones."""
    first, masses, num_checks = None, [], 0
    for token, _ in order:
        num_checks += 1
        if (yield token):
            first = token if first is None else first
            masses.append(log_mass(token))
    if first is None:
        return Draw(None, -math.inf, num_checks)
    largest = max(masses)
    return Draw(first, math.log(math.fsum(math.exp(mass - largest) for mass in masses)) + largest, num_checks)


def _geometric(
    order: Order, log_mass: Callable[[int], float], rng: np.random.Generator, max_accepts: int, max_rejects: float
) -> Checks:
    """Rejection sampling up to ``max_accepts`` acceptances or ``max_rejects`` refusals, whichever comes first.

    Draws with replacement are simulated by the order without. Shares of the mass: refused tokens, accepted ones, and
    unseen ones, the sum of which comes with the next token in order.
    """
    following = next(order, None)
    if following is None:
        return Draw(None, -math.inf, 0)
    log_total = following[1]
    accepted: list[int] = []
    shares: list[float] = []
    accepts, rejects, num_checks, first = 0, 0.0, 0, None
    while accepts < max_accepts and rejects < max_rejects:
        unseen = 0.0 if following is None else math.exp(following[1] - log_total)
        known = math.fsum(shares)
        open_share = known + unseen
        if open_share <= 0:
            break  # everything has been refused
        if num_checks > len(accepted):  # something is refused already: draws of it would come first
            rejects += _failures_before(open_share, rng)
            if rejects >= max_rejects:
                break
        if following is None or rng.random() * open_share < known:
            token = accepted[_index(shares, rng.random() * known)]
        else:
            token = following[0]
            following = next(order, None)
            num_checks += 1
            if not (yield token):
                rejects += 1
                continue
            accepted.append(token)
            shares.append(math.exp(log_mass(token) - log_total))
        accepts += 1
        first = token if first is None else first
    if first is None:
        return Draw(None, -math.inf, num_checks)
    rejects = min(rejects, max_rejects)
    log_weight = math.log(min(max_accepts - 1, accepts)) - math.log(accepts + rejects - 1)
    return Draw(first, log_weight + log_total, num_checks)


def _failures_before(share: float, rng: np.random.Generator) -> float:
    """How many draws fail before one succeeds, each with probability ``share``. (As a float: there may be 1e20.)"""
    if share >= 1:
        return 0.0
    return math.floor(math.log(1 - rng.random()) / math.log1p(-share))


def _index(shares: list[float], target: float) -> int:
    for index, share in enumerate(shares):
        target -= share
        if target < 0:
            return index
    return len(shares) - 1


def checked_masses(logps: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """Log-masses ``(V,)``, or InvalidArgumentError."""
    array = np.asarray(logps)
    if array.ndim != 1 or not np.issubdtype(array.dtype, np.floating):
        raise InvalidArgumentError(
            f"expected floating point numbers (V,), not {array.dtype} {array.shape}", argument="logps"
        )
    largest = array.max(initial=-math.inf)
    if not largest < math.inf:  # NaN or +inf
        raise InvalidArgumentError("log-masses must be numbers below infinity", argument="logps")
    return array
