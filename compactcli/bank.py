"""The log-mels of a whole corpus in one array, with what is known about each recording's frames.

Mixing, cropping and shifting happen on these log-mels, so an epoch never decodes audio again. The
array is cached on disk under a name made of the feature settings and the list of files with their sizes and times.
"""

import contextlib
import hashlib
import json
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from compactcli.audio import read_audio
from compactcli.config import FeatureConfig
from compactcli.datasets import Recording
from compactcli.errors import CompactError, ManifestError, reason_of
from compactcli.features import LogMel
from compactcli.plainjson import to_json
from compactcli.recipe import Recipe
from compactcli.teacher import TeacherOutputs, load_teacher, unsure_events

# frame states, ordered so that the maximum over mixed recordings is the right combination
INACTIVE, UNKNOWN, ACTIVE = 0, 1, 2


@dataclass(frozen=True, kw_only=True, eq=False)
class LogMelBank:
    """Log-mels of recordings, end to end.

    Args:
        recordings: In the order of the other fields.
        frames: dB, shape ``(n_frames_of_all, n_mels)``, float16.
        start: First row of each recording.
        length: Rows of each recording.
        level_db: Mean power over the sounding frames, all bands together.
        state: State of each row for its recording's event class: `INACTIVE`, `UNKNOWN` or `ACTIVE`.
        cuts: Per recording, intervals in frames that hold one event from its start to its end.
        unsure: Event classes whose target is open beneath this recording, shape ``(n_recordings, n_events)``.
        teacher: Stored teacher outputs.
    """

    recordings: tuple[Recording, ...]
    frames: npt.NDArray[np.float16]
    start: npt.NDArray[np.int64]
    length: npt.NDArray[np.int64]
    level_db: npt.NDArray[np.float64]
    state: npt.NDArray[np.uint8]
    cuts: tuple[tuple[tuple[int, int], ...], ...]
    unsure: npt.NDArray[np.bool_]
    teacher: TeacherOutputs


def load_bank(
    corpus: Path,
    recordings: Sequence[Recording],
    recipe: Recipe,
    *,
    cache: Path,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> LogMelBank:
    """Log-mels and frame states of ``recordings``, decoded once and cached.

    Args:
        corpus: Corpus folder.
        recordings: What to load.
        recipe: Features, event classes and teacher mapping.
        cache: Folder for the cached log-mels.
        progress: Called with recordings done and in all.

    Raises:
        ManifestError: A recording is missing, or the teacher's tables do not fit.
        AudioError: A recording cannot be decoded.
        CompactError: The cache cannot be written.
    """
    frames, length = _cached_log_mels(corpus, recordings, recipe.features, cache, progress)
    start = np.concatenate([[0], np.cumsum(length)[:-1]]).astype(np.int64)
    state = np.empty(len(frames), dtype=np.uint8)
    cuts, levels = [], np.empty(len(recordings))
    for index, recording in enumerate(recordings):
        rows = slice(start[index], start[index] + length[index])
        power_db = frame_power_db(frames[rows])
        found_state, found_cuts = frame_states(recording, power_db, recipe)
        state[rows] = found_state
        cuts.append(found_cuts)
        levels[index] = sounding_level_db(power_db)
    teacher = load_teacher(corpus, recordings, recipe)
    return LogMelBank(
        recordings=tuple(recordings),
        frames=frames,
        start=start,
        length=length,
        level_db=levels,
        state=state,
        cuts=tuple(cuts),
        unsure=unsure_events(recordings, recipe, teacher),
        teacher=teacher,
    )


def frame_power_db(log_mel: npt.NDArray[np.float16]) -> npt.NDArray[np.float64]:
    """Power of each frame over all bands in dB, shape ``(n_frames,)``."""
    power: npt.NDArray[np.float64] = 10 * np.log10(np.power(10.0, log_mel.astype(np.float64) / 10).sum(axis=1))
    return power


def sounding_level_db(power_db: npt.NDArray[np.float64]) -> float:
    """Mean power in dB of the frames within 30 dB of the loudest."""
    sounding = power_db[power_db >= power_db.max() - 30]
    return float(10 * np.log10(np.power(10.0, sounding / 10).mean()))


def frame_states(
    recording: Recording, power_db: npt.NDArray[np.float64], recipe: Recipe
) -> tuple[npt.NDArray[np.uint8], tuple[tuple[int, int], ...]]:
    """What each frame of a recording says about its event class, and the intervals that can be cut out.

    Labelled times are taken as they are. Trimmed effects, music and continuous classes sound
    throughout. Elsewhere energy decides: within 15 dB of the peak is active, 30 dB below it is
    inactive, between the two is unknown; where the whole recording stays within 20 dB nothing is known.

    Args:
        recording: With its event class.
        power_db: Power of its frames.
        recipe: Continuous classes and frame clock.

    Returns:
        State per frame, and cuttable intervals in frames; continuous recordings are one interval.
    """
    n_frames = len(power_db)
    state = np.full(n_frames, INACTIVE, dtype=np.uint8)
    if recording.event is None:
        return state, ()
    rate = recipe.features.clock.frame_rate
    if recording.activity is not None:
        intervals = [(round(onset * rate), round(offset * rate)) for onset, offset in recording.activity]
        bounded = tuple((max(0, a), min(n_frames, b)) for a, b in intervals if min(n_frames, b) > max(0, a))
        for first, last in bounded:
            state[first:last] = ACTIVE
        return state, bounded
    quiet = power_db < power_db.max() - 45
    if recording.event in recipe.events.continuous or recording.folder in ("music", "effects"):
        state[:] = np.where(quiet, UNKNOWN, ACTIVE)
        return state, ((0, n_frames),)
    peak = np.percentile(power_db, 98)
    if peak - np.percentile(power_db, 10) < 20:
        state[:] = UNKNOWN
        return state, ()
    state[:] = np.where(power_db >= peak - 15, ACTIVE, np.where(power_db >= peak - 30, UNKNOWN, INACTIVE))
    return state, _runs(power_db >= peak - 25, max_gap=round(0.3 * rate), min_length=round(0.1 * rate))


def _runs(active: npt.NDArray[np.bool_], *, max_gap: int, min_length: int) -> tuple[tuple[int, int], ...]:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], active.astype(np.int8), [0]])))
    runs: list[list[int]] = []
    for first, last in edges.reshape(-1, 2).tolist():
        if runs and first - runs[-1][1] <= max_gap:
            runs[-1][1] = last
        else:
            runs.append([first, last])
    return tuple((first, last) for first, last in runs if last - first >= min_length)


def _cached_log_mels(
    corpus: Path,
    recordings: Sequence[Recording],
    features: FeatureConfig,
    cache: Path,
    progress: Callable[[int, int], None],
) -> tuple[npt.NDArray[np.float16], npt.NDArray[np.int64]]:
    try:
        stats = [(corpus / item.path).stat() for item in recordings]
    except OSError as error:
        raise ManifestError(f"a recording that the corpus' tables name cannot be read: {error}") from error
    # of equal length, recordings that were made anew are as large as they were
    files = [(item.path, stat.st_size, stat.st_mtime_ns) for item, stat in zip(recordings, stats, strict=True)]
    key = hashlib.sha256(json.dumps([to_json(features), str(corpus.resolve()), files]).encode()).hexdigest()[:24]
    stored = cache / f"logmel-{key}.npz"
    # one that a full disk or a crash has left is made again
    unusable = contextlib.suppress(OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile)
    # opened here, because numpy leaves a file open that is no whole archive
    with unusable, stored.open("rb") as stream, np.load(stream) as arrays:
        return arrays["frames"], arrays["length"]
    log_mel = LogMel(features)
    pieces = []
    for index, recording in enumerate(recordings):
        waveform = torch.from_numpy(read_audio(corpus / recording.path, sample_rate=features.sample_rate))
        with torch.inference_mode():
            pieces.append(log_mel(waveform[None])[0].T.half().numpy())
        progress(index + 1, len(recordings))
    frames, length = np.concatenate(pieces), np.array([len(piece) for piece in pieces], dtype=np.int64)
    _store(stored, frames=frames, length=length)
    return frames, length


def _store(path: Path, *, frames: npt.NDArray[np.float16], length: npt.NDArray[np.int64]) -> None:
    """Write log-mels whole or not at all."""
    part: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".npz", delete=False) as stream:
            part = Path(stream.name)
            np.savez(stream, frames=frames, length=length)
        part.replace(path)
    except OSError as error:
        raise CompactError(
            f"log-mels cannot be kept in '{path.parent}' ({reason_of(error)}), expected room and the right to write",
            hint="choose another place with --cache",
            code="unwritable",
        ) from error
    finally:
        if part is not None:
            part.unlink(missing_ok=True)
