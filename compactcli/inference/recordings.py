"""One recording of any length becomes one record; memory stays flat however long it is."""

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from compactcli.audio import DEFAULT_LIMITS, AudioLimits, Waveform, open_audio
from compactcli.calibration import event_probabilities, scene_probabilities
from compactcli.config import DetectionConfig
from compactcli.detection import EventDecoder
from compactcli.engine.base import Engine
from compactcli.errors import CompactError, ConfigError, require
from compactcli.events import Event, sort_events
from compactcli.inference.planning import DetectionPlan, plan_detection
from compactcli.pictures import Picture
from compactcli.records import Record
from compactcli.scores import FrameLevels, FrameScores, SceneScores
from compactcli.timing import FrameClock

DEFAULT_TOP_K = 3
# what float32 log-mels above their floor leave room for; more is a mistake, such as a factor for dB
LARGEST_GAIN_DB = 60.0

# seconds analysed so far; seconds in all as the header says, or None where it does not know
Progress = Callable[[float, float | None], None]
OnFrames = Callable[[FrameScores], None]
OnLevels = Callable[[FrameLevels], None]
OnPicture = Callable[[Picture], None]


@dataclass(kw_only=True)
class StageTimes:
    """Seconds that each stage took, added up while it works.

    Args:
        decode_s: Reading, decoding, mixing down and resampling.
        inference_s: Features, network and events.
    """

    decode_s: float = 0.0
    inference_s: float = 0.0

    def add(self, other: "StageTimes") -> None:
        """Count another recording's."""
        self.decode_s += other.decode_s
        self.inference_s += other.inference_s


@dataclass(frozen=True, kw_only=True)
class Listening:
    """How one recording is listened to, apart from what is looked for in it.

    Args:
        name: What the record and messages call the recording; None takes its path.
        limits: What is too much.
        gain_db: By how many dB it is raised before anybody listens, from -60 to 60.
        on_progress: Called after each chunk with the seconds analysed so far and those that the header promises.
        on_frames: Called with consecutive frames of calibrated event probabilities, before smoothing, one column for
            each class looked for; the last edge of the last piece is the recording's end.
        on_levels: Called with consecutive frames of log-mel, where that is what is asked for.
        on_picture: Called once with all that a picture shows, where that is what is asked for.
        times: Where the seconds that each stage took are added up.

    Raises:
        ConfigError: The gain is out of its range.
    """

    name: str | None = None
    limits: AudioLimits = DEFAULT_LIMITS
    gain_db: float = 0.0
    on_progress: Progress | None = None
    on_frames: OnFrames | None = None
    on_levels: OnLevels | None = None
    on_picture: OnPicture | None = None
    times: StageTimes | None = None

    def __post_init__(self) -> None:
        require(
            abs(self.gain_db) <= LARGEST_GAIN_DB,
            f"gain is {self.gain_db:g}, expected dB from {-LARGEST_GAIN_DB:g} to {LARGEST_GAIN_DB:g}",
        )


PLAINLY = Listening()


def classify_recording(
    path: str | Path,
    engine: Engine,
    *,
    top_k: int = DEFAULT_TOP_K,
    listening: Listening = PLAINLY,
) -> Record:
    """Say where a recording was made.

    Args:
        path: The recording; see ``open_audio`` for the formats.
        engine: A loaded model.
        top_k: Scenes to name, best first, at least 1.
        listening: Limits, and who is told how far it is.

    Returns:
        Record with the ``top_k`` most probable scenes; its status is ``partial`` when the recording is damaged and
        what decoded was analysed.

    Raises:
        AudioError: The recording cannot be analysed at all.
        ConfigError: ``top_k`` is less than 1.
    """
    return analyse_file(path, engine, top_k=top_k, plan=None, listening=listening)


def detect_recording(
    path: str | Path,
    engine: Engine,
    *,
    detection: DetectionConfig | None = None,
    classes: Sequence[str] | None = None,
    exclude: Sequence[str] = (),
    top_k: int = DEFAULT_TOP_K,
    listening: Listening = PLAINLY,
) -> Record:
    """Say what happened when in a recording.

    Args:
        path: The recording; see ``open_audio`` for the formats.
        engine: A loaded model.
        detection: How probabilities become events; None takes the model's own settings.
        classes: Events to look for; None looks for all.
        exclude: Events not to look for, even where ``classes`` names them.
        top_k: Scenes to name besides, best first, at least 1.
        listening: Limits, and who is told how far it is.

    Returns:
        Record with events ordered by onset, then label, and the ``top_k`` most probable scenes.

    Raises:
        AudioError: The recording cannot be analysed at all.
        ConfigError: A class is unknown to the model, or ``top_k`` is less than 1.
    """
    plan = plan_detection(engine.config, detection=detection, classes=classes, exclude=exclude)
    return analyse_file(path, engine, top_k=top_k, plan=plan, listening=listening)


def error_record(path: str, error: CompactError, *, model: str) -> Record:
    """The record of a recording that could not be analysed."""
    return Record(path=path, status="error", error_code=error.code, error_message=error.message, model=model)


@dataclass(frozen=True, kw_only=True, eq=False)
class Findings:
    """What was heard in one recording.

    Args:
        scenes: Probabilities of the whole recording.
        events: Ordered by onset, then label; None when events were not asked for.
    """

    scenes: SceneScores
    events: tuple[Event, ...] | None


def listen(
    blocks: Iterable[Waveform],
    engine: Engine,
    *,
    plan: DetectionPlan | None,
    listening: Listening = PLAINLY,
    promised_s: float | None = None,
) -> Findings:
    """Run one recording through a model, keeping nothing but sums and events.

    The scene probabilities are those of the scene logits averaged over all output frames.

    Args:
        blocks: Consecutive mono pieces at the model's sample rate, at least one sample in all.
        engine: The loaded model.
        plan: Events to decode; None decodes none, and gives no frames out.
        listening: The gain, and who is told what; limits and name are for whoever reads the file.
        promised_s: Seconds in all as the header says, or None where it does not know.
    """
    config = engine.config
    times = StageTimes() if listening.times is None else listening.times
    decoder = None if plan is None else EventDecoder(plan.detection, plan.classes, config.clock)
    pieces = None if plan is None or listening.on_frames is None else _Pieces(plan, config.clock, listening.on_frames)
    columns = [] if plan is None else list(plan.columns)
    scene_logits = np.zeros(len(config.scenes), np.float64)
    n_samples = 0
    n_frames = 0
    events: list[Event] = []

    def counted() -> Iterator[Waveform]:
        nonlocal n_samples
        for block in heard_blocks(blocks, gain_db=listening.gain_db, times=times):
            n_samples += len(block)
            yield block

    started, decoded_before_s = time.perf_counter(), times.decode_s
    for chunk in engine.stream(counted()):
        n_frames += len(chunk.scenes)
        scene_logits += chunk.scenes.sum(axis=0, dtype=np.float64)
        if decoder is not None:
            probabilities = event_probabilities(chunk.events, config.calibration)[:, columns]
            events += decoder.push(probabilities)
            if pieces is not None:
                pieces.push(probabilities)
        if listening.on_progress is not None:
            listening.on_progress(config.clock.frames_to_s(n_frames), promised_s)
    if decoder is not None:
        events += decoder.finish(n_samples)
    if pieces is not None:
        pieces.finish(n_samples)
    times.inference_s += time.perf_counter() - started - (times.decode_s - decoded_before_s)
    probabilities_of_scenes = scene_probabilities(scene_logits / n_frames, config.calibration)
    return Findings(
        scenes=SceneScores(probabilities=probabilities_of_scenes, classes=config.scenes),
        events=None if plan is None else tuple(sort_events(events)),
    )


class _Pieces:
    """Gives frames out one piece late, because only after the last does the recording's end show."""

    def __init__(self, plan: DetectionPlan, clock: FrameClock, on_frames: OnFrames) -> None:
        self._plan = plan
        self._clock = clock
        self._on_frames = on_frames
        self._first = 0
        self._held: npt.NDArray[np.float32] | None = None

    def push(self, probabilities: npt.NDArray[np.float32]) -> None:
        if self._held is not None:
            self._give((self._first + len(self._held)) * self._clock.frame_length)
        self._held = probabilities

    def finish(self, n_samples: int) -> None:
        self._give(n_samples)

    def _give(self, end: int) -> None:
        if self._held is not None:
            edges_s = self._clock.edges_s(end, first=self._first)
            self._on_frames(FrameScores(probabilities=self._held, edges_s=edges_s, classes=self._plan.classes))
            self._first += len(self._held)


def heard_blocks(blocks: Iterable[Waveform], *, gain_db: float, times: StageTimes | None) -> Iterator[Waveform]:
    """The blocks, raised; the seconds that they take count as decoding. Nothing clips."""
    times = StageTimes() if times is None else times
    gain = np.float32(10 ** (gain_db / 20))
    source = iter(blocks)
    while True:
        started = time.perf_counter()
        block = next(source, None)
        times.decode_s += time.perf_counter() - started
        if block is None:
            return
        yield block * gain if gain_db else block


def analyse_file(
    path: str | Path, engine: Engine, *, top_k: int, plan: DetectionPlan | None, listening: Listening = PLAINLY
) -> Record:
    """Analyse one file; see ``classify_recording`` and ``detect_recording``, which differ in the plan."""
    check_top_k(top_k)
    name = os.fspath(path) if listening.name is None else listening.name
    sample_rate = engine.config.features.sample_rate
    with open_audio(path, sample_rate=sample_rate, limits=listening.limits, name=name) as reader:
        findings = listen(reader, engine, plan=plan, listening=listening, promised_s=reader.info.duration_s)
    return Record(
        path=name,
        status="ok" if reader.damage is None else "partial",
        error_code=None if reader.damage is None else "damaged",
        error_message=reader.damage,
        duration=reader.decoded_s,
        sample_rate=reader.info.sample_rate,
        model=engine.config.name,
        scenes=tuple(findings.scenes.top(top_k)),
        events=findings.events,
    )


def check_top_k(top_k: int) -> None:
    """Refuse to name no scene at all.

    Raises:
        ConfigError: ``top_k`` is less than 1.
    """
    if top_k < 1:
        raise ConfigError(f"top_k is {top_k}, expected at least 1 scene")
