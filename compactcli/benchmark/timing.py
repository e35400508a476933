"""Tasks become seconds: rounds of all tasks, the first of them thrown away."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

Clock = Callable[[], float]
Key = TypeVar("Key")

# between the fastest and the slowest repeat, of the median: above it, a figure wants a calmer machine
STEADY_SPREAD = 0.1


@dataclass(frozen=True, kw_only=True)
class Timing:
    """How long the same task took, again and again.

    Args:
        seconds: Of each repeat, at least one.

    Example:
        >>> Timing(seconds=(2.0, 2.1, 3.0)).median_s
        2.1
    """

    seconds: tuple[float, ...]

    @property
    def median_s(self) -> float:
        """Seconds of the repeat in the middle."""
        return statistics.median(self.seconds)

    @property
    def spread(self) -> float:
        """Seconds between the fastest and the slowest repeat, divided by the median."""
        return (max(self.seconds) - min(self.seconds)) / self.median_s

    @property
    def is_steady(self) -> bool:
        """Whether the repeats lie within 10 % of the median of one another."""
        return self.spread <= STEADY_SPREAD


def measure(
    tasks: Mapping[Key, Callable[[], object]],
    *,
    repeats: int,
    clock: Clock = time.perf_counter,
    on_round: Callable[[], None] = lambda: None,
) -> dict[Key, Timing]:
    """Time tasks in rounds.

    Args:
        tasks: What to time; in each round every task runs once, in this order.
        repeats: Rounds that count, after one that does not.
        clock: Seconds from any origin.
        on_round: Called after each round, the thrown one too.
    """
    seconds: dict[Key, list[float]] = {key: [] for key in tasks}
    for _ in range(repeats + 1):
        for key, task in tasks.items():
            started = clock()
            task()
            seconds[key].append(clock() - started)
        on_round()
    return {key: Timing(seconds=tuple(taken[1:])) for key, taken in seconds.items()}
