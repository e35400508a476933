"""One recording of any length becomes one record; memory stays flat however long it is."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from compactcli.audio import Waveform, open_audio
from compactcli.calibration import event_probabilities, scene_probabilities
from compactcli.config import DetectionConfig
from compactcli.detection import EventDecoder
from compactcli.engine.base import Engine
from compactcli.errors import CompactError, ConfigError
from compactcli.events import Event, sort_events
from compactcli.inference.planning import DetectionPlan, plan_detection
from compactcli.records import Record
from compactcli.scores import SceneScores

DEFAULT_TOP_K = 3

# seconds analysed so far; seconds in all as the header says, or None where it does not know
Progress = Callable[[float, float | None], None]


def classify_recording(
    path: str | Path,
    engine: Engine,
    *,
    top_k: int = DEFAULT_TOP_K,
    on_progress: Progress | None = None,
) -> Record:
    """Say where a recording was made.

    Args:
        path: The recording; see ``open_audio`` for the formats.
        engine: A loaded model.
        top_k: Scenes to name, best first, at least 1.
        on_progress: Called after each chunk with the seconds analysed so far and those that the header promises.

    Returns:
        Record with the ``top_k`` most probable scenes; its status is ``partial`` when the recording is damaged and
        what decoded before the damage was analysed.

    Raises:
        AudioError: The recording cannot be analysed at all.
        ConfigError: ``top_k`` is less than 1.
    """
    return analyse_file(path, engine, top_k=top_k, plan=None, on_progress=on_progress)


def detect_recording(
    path: str | Path,
    engine: Engine,
    *,
    detection: DetectionConfig | None = None,
    classes: Sequence[str] | None = None,
    top_k: int = DEFAULT_TOP_K,
    on_progress: Progress | None = None,
) -> Record:
    """Say what happened when in a recording.

    Args:
        path: The recording; see ``open_audio`` for the formats.
        engine: A loaded model.
        detection: How probabilities become events; None takes the model's own settings.
        classes: Events to look for; None looks for all.
        top_k: Scenes to name besides, best first, at least 1.
        on_progress: Called after each chunk with the seconds analysed so far and those that the header promises.

    Returns:
        Record with events ordered by onset, then label, and the ``top_k`` most probable scenes.

    Raises:
        AudioError: The recording cannot be analysed at all.
        ConfigError: A class is unknown to the model, or ``top_k`` is less than 1.
    """
    plan = plan_detection(engine.config, detection=detection, classes=classes)
    return analyse_file(path, engine, top_k=top_k, plan=plan, on_progress=on_progress)


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
    on_progress: Callable[[float], None] | None = None,
) -> Findings:
    """Run one recording through a model, keeping nothing but sums and events.

    The scene probabilities are those of the scene logits averaged over all output frames.

    Args:
        blocks: Consecutive mono pieces at the model's sample rate, at least one sample in all.
        engine: The loaded model.
        plan: Events to decode; None decodes none.
        on_progress: Called with the seconds analysed so far, after each chunk.
    """
    config = engine.config
    decoder = None if plan is None else EventDecoder(plan.detection, plan.classes, config.clock)
    columns = [] if plan is None else list(plan.columns)
    scene_logits = np.zeros(len(config.scenes), np.float64)
    n_samples = 0
    n_frames = 0
    events: list[Event] = []

    def counted() -> Iterator[Waveform]:
        nonlocal n_samples
        for block in blocks:
            n_samples += len(block)
            yield block

    for chunk in engine.stream(counted()):
        n_frames += len(chunk.scenes)
        scene_logits += chunk.scenes.sum(axis=0, dtype=np.float64)
        if decoder is not None:
            events += decoder.push(event_probabilities(chunk.events, config.calibration)[:, columns])
        if on_progress is not None:
            on_progress(config.clock.frames_to_s(n_frames))
    if decoder is not None:
        events += decoder.finish(n_samples)
    probabilities = scene_probabilities(scene_logits / n_frames, config.calibration)
    return Findings(
        scenes=SceneScores(probabilities=probabilities, classes=config.scenes),
        events=None if plan is None else tuple(sort_events(events)),
    )


def analyse_file(
    path: str | Path,
    engine: Engine,
    *,
    top_k: int,
    plan: DetectionPlan | None,
    on_progress: Progress | None,
) -> Record:
    """Analyse one file; see ``classify_recording`` and ``detect_recording``, which differ in the plan."""
    check_top_k(top_k)
    with open_audio(path, sample_rate=engine.config.features.sample_rate) as reader:
        promised_s = reader.info.duration_s
        tell = None if on_progress is None else lambda analysed_s: on_progress(analysed_s, promised_s)
        findings = listen(reader, engine, plan=plan, on_progress=tell)
    return Record(
        path=os.fspath(path),
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
