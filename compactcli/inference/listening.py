"""One recording of any length is heard by a model; memory stays flat however long it is."""

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from compactcli.audio import DEFAULT_LIMITS, AudioLimits, AudioReader, Waveform
from compactcli.calibration import event_probabilities, scene_probabilities
from compactcli.config import ModelConfig
from compactcli.detection import EventDecoder
from compactcli.engine.base import Engine, LogitChunk
from compactcli.errors import require, require_number
from compactcli.events import Event, sort_events
from compactcli.inference.planning import LONGEST_STRETCH_S, DetectionPlan
from compactcli.inference.stretches import StretchMeans, StretchScores
from compactcli.pictures import Picture
from compactcli.records import Record
from compactcli.scores import FrameLevels, FrameScores, SceneScores
from compactcli.timing import FrameClock

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
        ConfigError: The gain is no number, or out of its range.
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
        require_number(self.gain_db, "gain")
        require(
            abs(self.gain_db) <= LARGEST_GAIN_DB,
            f"gain is {self.gain_db:g}, expected dB from {-LARGEST_GAIN_DB:g} to {LARGEST_GAIN_DB:g}",
        )


PLAINLY = Listening()


@dataclass(frozen=True, kw_only=True, eq=False)
class Findings:
    """What was heard in one recording.

    Args:
        scenes: Probabilities of the whole recording.
        stretches: Those of its stretches; None when they were not asked for.
        events: Ordered by onset, then label; None when events were not asked for.
    """

    scenes: SceneScores
    stretches: list[StretchScores] | None
    events: tuple[Event, ...] | None


def listen(
    blocks: Iterable[Waveform],
    engine: Engine,
    *,
    plan: DetectionPlan | None,
    every_s: float | None = None,
    listening: Listening = PLAINLY,
    promised_s: float | None = None,
) -> Findings:
    """Run one recording through a model, keeping nothing but sums and events.

    The scene probabilities are those of the scene logits averaged over all output frames.

    Args:
        blocks: Consecutive mono pieces at the model's sample rate, at least one sample in all.
        engine: The loaded model.
        plan: Events to decode; None decodes none, and gives no frames out.
        every_s: Seconds of the stretches whose scenes are scored too; None scores those of the whole alone.
        listening: The gain, and who is told what; limits and name are for whoever reads the file.
        promised_s: Seconds in all as the header says, or None where it does not know.
    """
    config = engine.config
    decoder = None if plan is None else EventDecoder(plan.detection, plan.classes, config.clock)
    pieces = None if plan is None or listening.on_frames is None else _Pieces(plan, config.clock, listening.on_frames)
    columns = [] if plan is None else list(plan.columns)
    whole = StretchMeans(LONGEST_STRETCH_S, config.clock)
    stretches = None if every_s is None else StretchMeans(every_s, config.clock)
    events: list[Event] = []
    hearing = Hearing(blocks, engine, listening=listening, promised_s=promised_s)
    with hearing.timed():
        for chunk in hearing:
            for means in filter(None, (whole, stretches)):
                means.push(chunk.scenes)
            if decoder is not None:
                probabilities = event_probabilities(chunk.events, config.calibration)[:, columns]
                events += decoder.push(probabilities)
                if pieces is not None:
                    pieces.push(probabilities)
        if decoder is not None:
            events += decoder.finish(hearing.n_samples)
        if pieces is not None:
            pieces.finish(hearing.n_samples)

    def scored(means: StretchMeans) -> list[StretchScores]:
        return [
            (start, SceneScores(probabilities=scene_probabilities(mean, config.calibration), classes=config.scenes))
            for start, mean in means.finish(hearing.n_samples)
        ]

    [(_, scenes)] = scored(whole)
    return Findings(
        scenes=scenes,
        stretches=None if stretches is None else scored(stretches),
        events=None if plan is None else tuple(sort_events(events)),
    )


class Hearing:
    """What a model gives of one recording, piece by piece; whoever listens is told how far it is.

    Args:
        blocks: Consecutive mono pieces at the model's sample rate, at least one sample in all.
        engine: The loaded model.
        listening: The gain, and who is told how far it is.
        promised_s: Seconds in all as the header says, or None where it does not know.

    Attributes:
        n_samples: Heard so far.
    """

    def __init__(
        self, blocks: Iterable[Waveform], engine: Engine, *, listening: Listening, promised_s: float | None
    ) -> None:
        self.n_samples = 0
        self._blocks = blocks
        self._engine = engine
        self._listening = listening
        self._promised_s = promised_s
        self._times = StageTimes() if listening.times is None else listening.times

    def __iter__(self) -> Iterator[LogitChunk]:
        """Consecutive chunks of logits."""
        n_frames = 0
        for chunk in self._engine.stream(self._counted()):
            n_frames += len(chunk.events)
            yield chunk
            if self._listening.on_progress is not None:
                self._listening.on_progress(self._engine.config.clock.frames_to_s(n_frames), self._promised_s)

    @contextlib.contextmanager
    def timed(self) -> Iterator[None]:
        """What is done inside counts as inference, but for decoding."""
        started, decoded_before_s = time.perf_counter(), self._times.decode_s
        yield
        self._times.inference_s += time.perf_counter() - started - (self._times.decode_s - decoded_before_s)

    def _counted(self) -> Iterator[Waveform]:
        for block in heard_blocks(self._blocks, gain_db=self._listening.gain_db, times=self._times):
            self.n_samples += len(block)
            yield block


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


def record_of(reader: AudioReader, config: ModelConfig) -> Record:
    """What became of a file that was read to its end, without what was heard in it.

    Args:
        reader: After its last block.
        config: The model that listened.

    Returns:
        Record whose status is ``partial`` when the recording is damaged.
    """
    return Record(
        path=reader.info.path,
        status="ok" if reader.damage is None else "partial",
        error_code=None if reader.damage is None else "damaged",
        error_message=reader.damage,
        duration=reader.decoded_s,
        sample_rate=reader.info.sample_rate,
        model=config.name,
        model_version=config.release,
    )


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
