"""One file becomes one record."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from compactcli.audio import open_audio
from compactcli.config import DetectionConfig
from compactcli.engine.base import Engine
from compactcli.errors import CompactError
from compactcli.inference.listening import PLAINLY, Listening, listen, record_of
from compactcli.inference.planning import DEFAULT_TOP_K, DetectionPlan, ScenePlan, plan_detection
from compactcli.inference.stretches import name_stretches
from compactcli.records import Record


def classify_recording(
    path: str | Path,
    engine: Engine,
    *,
    top_k: int = DEFAULT_TOP_K,
    every_s: float | None = None,
    listening: Listening = PLAINLY,
) -> Record:
    """Say where a recording was made.

    Args:
        path: The recording; see ``open_audio`` for the formats.
        engine: A loaded model.
        top_k: Scenes to name, best first, at least 1.
        every_s: Seconds of the stretches whose scenes are named too, at least 1; None names those of the whole alone.
        listening: Limits, and who is told how far it is.

    Returns:
        Record with the ``top_k`` most probable scenes; its status is ``partial`` when the recording is damaged and
        what decoded was analysed.

    Raises:
        AudioError: The recording cannot be analysed at all.
        ConfigError: ``top_k`` or ``every_s`` is less than 1.
    """
    return analyse_file(path, engine, scenes=ScenePlan(top_k=top_k, every_s=every_s), plan=None, listening=listening)


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
    return analyse_file(path, engine, scenes=ScenePlan(top_k=top_k), plan=plan, listening=listening)


def error_record(path: str, error: CompactError, *, model: str, model_version: str) -> Record:
    """The record of a recording that could not be analysed."""
    return Record(
        path=path,
        status="error",
        error_code=error.code,
        error_message=error.message,
        model=model,
        model_version=model_version,
    )


def analyse_file(
    path: str | Path, engine: Engine, *, scenes: ScenePlan, plan: DetectionPlan | None, listening: Listening = PLAINLY
) -> Record:
    """Analyse one file; see ``classify_recording`` and ``detect_recording``, which differ in the plans."""
    sample_rate = engine.config.features.sample_rate
    with open_audio(path, sample_rate=sample_rate, limits=listening.limits, name=listening.name) as reader:
        findings = listen(
            reader,
            engine,
            plan=plan,
            every_s=scenes.every_s,
            listening=listening,
            promised_s=reader.info.duration_s,
        )
    return replace(
        record_of(reader, engine.config),
        scenes=tuple(findings.scenes.top(scenes.top_k)),
        stretches=name_stretches(findings.stretches, top_k=scenes.top_k, duration_s=reader.decoded_s),
        events=findings.events,
    )
