"""What a picture of one recording shows: all of it, in no more columns than a picture has room for."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from compactcli.records import Record

# about the pixels that a picture has for them
N_COLUMNS = 1000

Columns = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, eq=False)
class Picture:
    """One recording, its log-mel and its event scores.

    Args:
        record: What was found, with scenes and events, and perhaps the scenes of stretches.
        levels_db: Highest level of each mel band in each column, dB relative to a full-scale sine, shape
            ``(n_columns, n_mels)``.
        level_column_s: Seconds of each column of levels; the last one may reach beyond the recording's end.
        centres_hz: Centre frequencies of the bands in Hz, shape ``(n_mels,)``.
        probabilities: Highest score of each class in each column, in [0, 1], shape ``(n_columns, n_events)``; the
            columns are not those of the levels.
        score_column_s: Seconds of each column of scores, as above.
        classes: Event names, in the order of the scores.
    """

    record: Record
    levels_db: Columns
    level_column_s: float
    centres_hz: npt.NDArray[np.float64]
    probabilities: Columns
    score_column_s: float
    classes: tuple[str, ...]


def scene_columns(record: Record, *, n_columns: int = N_COLUMNS) -> tuple[tuple[str, ...], Columns]:
    """The scenes of a recording's stretches, for a picture.

    Args:
        record: With stretches, at least one.
        n_columns: Of equal length, together the whole recording.

    Returns:
        Scenes that are the best of a stretch, in the order in which they first are, and the highest score of each in
        each column, shape ``(n_columns, n_scenes)``; where a stretch does not name a scene, that counts as 0.

    Example:
        >>> from compactcli.records import Stretch
        >>> one = Stretch(start=0, stop=1, scenes=(("rain", 0.75), ("wind", 0.25)))
        >>> other = Stretch(start=1, stop=4, scenes=(("wind", 0.5), ("beach", 0.25)))
        >>> names, scores = scene_columns(Record(path="a.wav", stretches=(one, other)), n_columns=4)
        >>> names, scores.tolist()
        (('rain', 'wind'), [[0.75, 0.25], [0.0, 0.5], [0.0, 0.5], [0.0, 0.5]])
    """
    stretches = record.stretches or ()
    names = tuple(dict.fromkeys(stretch.scenes[0][0] for stretch in stretches))
    named = [dict(stretch.scenes) for stretch in stretches]
    scores = np.array([[scenes.get(name, 0.0) for name in names] for scenes in named], np.float32)
    edges_s = np.linspace(stretches[0].start, stretches[-1].stop, n_columns + 1)
    starts_s = [stretch.start for stretch in stretches]
    # the stretch that a column begins in, and the one after the last that begins in it
    first = np.searchsorted(starts_s, edges_s[:-1], side="right") - 1
    behind = np.maximum(np.searchsorted(starts_s, edges_s[1:], side="left"), first + 1)
    columns = [scores[one:other].max(axis=0) for one, other in zip(first.tolist(), behind.tolist(), strict=True)]
    return names, np.array(columns, np.float32)


class Overview:
    """The highest values of consecutive frames, in few columns however many frames there are.

    Every column stands for equally many frames, a power of two that doubles as the recording goes on.

    Args:
        n_values: Values of each frame.
        n_columns: There are at least this many columns where there are as many frames, and at most twice as many.

    Example:
        >>> overview = Overview(1, n_columns=2)
        >>> overview.push(np.array([[1], [5], [2], [3], [4]], dtype=np.float32))
        >>> overview.frames_per_column, overview.columns().tolist()
        (2, [[5.0], [3.0], [4.0]])
    """

    def __init__(self, n_values: int, *, n_columns: int = N_COLUMNS) -> None:
        self._n_columns = n_columns
        self._columns: Columns = np.empty((0, n_values), dtype=np.float32)
        self._rest = self._columns
        self.frames_per_column = 1

    def push(self, values: npt.NDArray[np.float32]) -> None:
        """Take the next frames, shape ``(n_frames, n_values)``."""
        values = np.concatenate([self._rest, values])
        while len(values) >= self.frames_per_column:
            room = 2 * self._n_columns - len(self._columns)
            n_new = min(len(values) // self.frames_per_column, room)
            taken = n_new * self.frames_per_column
            self._columns = np.concatenate([self._columns, _highest(values[:taken], self.frames_per_column)])
            values = values[taken:]
            if n_new == room:
                self._columns = _highest(self._columns, 2)
                self.frames_per_column *= 2
        self._rest = values.copy()

    def columns(self) -> Columns:
        """All columns so far, shape ``(n_columns, n_values)``; the last one may stand for fewer frames."""
        if len(self._rest) == 0:
            return self._columns
        return np.concatenate([self._columns, self._rest.max(axis=0, keepdims=True)])


def _highest(values: Columns, n_frames: int) -> Columns:
    """Maximum over each ``n_frames`` consecutive rows."""
    highest: Columns = values.reshape(-1, n_frames, values.shape[1]).max(axis=1)
    return highest
