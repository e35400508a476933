"""Segment-based detection metrics: is the right class reported in the right second?

The recording is cut into segments of ``time_resolution_s`` from its start; the last one may be shorter. A
class is active in a segment when any part of one of its events falls into it.
"""

import math
from collections.abc import Iterable, Sequence

import numpy as np

from compactcli.errors import require
from compactcli.events import events_to_roll
from compactcli.metrics.counts import Counts, DetectionMetrics, RecordingEvents, summarise


def segment_metrics(
    recordings: Iterable[RecordingEvents], classes: Sequence[str], *, time_resolution_s: float = 1.0
) -> DetectionMetrics:
    """Compare reference and estimate segment by segment.

    Args:
        recordings: Events and durations; read once, one recording at a time.
        classes: Classes to score, in the order of the result.
        time_resolution_s: Length of a segment in seconds, above 0.

    Returns:
        Counts of active segments per class, and their micro and macro averages. What an event covers after the
        end of its recording is not counted.

    Raises:
        ConfigError: ``time_resolution_s`` is not a positive number.
        ManifestError: An event's label is not among ``classes``.

    Source:
        Mesaros, Heittola, Virtanen, "Metrics for Polyphonic Sound Event Detection", Applied Sciences 6(6):162,
        2016, as sed_eval implements it. We differ in the macro average: sed_eval skips the classes
        whose precision or recall is undefined, that is those never estimated and those never in the reference;
        we count both with F1 = 0, which can only lower the mean. Overlaps of less than 1 ns are ignored.

    Example:
        >>> from compactcli.events import Event
        >>> recording = RecordingEvents(
        ...     reference=[Event(onset=0.5, offset=2.5, label="dog")],
        ...     estimated=[Event(onset=1.0, offset=4.0, label="dog")],
        ...     duration_s=10.0,
        ... )
        >>> segment_metrics([recording], ("dog",)).micro
        Counts(tp=2, fp=1, fn=1)
    """
    require(
        0 < time_resolution_s < math.inf, f"time_resolution_s is {time_resolution_s}, expected seconds, more than 0"
    )
    tp, fp, fn = (np.zeros(len(classes), dtype=np.int64) for _ in range(3))
    for recording in recordings:
        # 1e-9: a duration such as 0.1 * 3 must not open a segment of rounding error
        n_segments = math.ceil(recording.duration_s / time_resolution_s - 1e-9)
        edges_s = np.arange(n_segments + 1, dtype=np.float64) * time_resolution_s
        truth = events_to_roll(recording.reference, edges_s=edges_s, classes=classes)
        estimate = events_to_roll(recording.estimated, edges_s=edges_s, classes=classes)
        tp += (truth & estimate).sum(axis=0)
        fp += (~truth & estimate).sum(axis=0)
        fn += (truth & ~estimate).sum(axis=0)
    return summarise(
        {name: Counts(tp=int(tp[index]), fp=int(fp[index]), fn=int(fn[index])) for index, name in enumerate(classes)}
    )
