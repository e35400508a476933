"""One recording becomes a picture of what is heard in it, in flat memory however long it is."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from compactcli.config import DetectionConfig
from compactcli.engine.base import Engine
from compactcli.inference.levels import measure_recording
from compactcli.inference.listening import PLAINLY, Listening
from compactcli.inference.planning import DEFAULT_TOP_K, ScenePlan, plan_detection
from compactcli.inference.recordings import analyse_file
from compactcli.logmel import band_centres_hz
from compactcli.pictures import Overview, Picture
from compactcli.records import Record
from compactcli.scores import FrameLevels, FrameScores


def picture_recording(
    path: str | Path,
    engine: Engine,
    *,
    detection: DetectionConfig | None = None,
    classes: Sequence[str] | None = None,
    exclude: Sequence[str] = (),
    top_k: int = DEFAULT_TOP_K,
    every_s: float | None = None,
    listening: Listening = PLAINLY,
) -> Record:
    """Detect the events of a recording and give out a picture of it.

    For a picture the recording is read twice: once for its log-mel, once for its scores.

    Args:
        path: As for ``detect_recording``, like all that follow.
        engine: A loaded model.
        detection: How probabilities become events.
        classes: Events to look for.
        exclude: Events not to look for.
        top_k: Scenes to name.
        every_s: As for ``classify_recording``.
        listening: Its ``on_picture`` gets the picture, and then ``on_frames`` and ``on_levels`` are not called; where
            it has none, the recording is read once.

    Returns:
        The record of ``detect_recording``, with the scenes of stretches where these are asked for.

    Raises:
        AudioError: The recording cannot be analysed at all.
        ConfigError: A class is unknown to the model, or ``top_k`` or ``every_s`` is less than 1.
    """
    scenes = ScenePlan(top_k=top_k, every_s=every_s)
    plan = plan_detection(engine.config, detection=detection, classes=classes, exclude=exclude)
    if listening.on_picture is None:
        return analyse_file(path, engine, scenes=scenes, plan=plan, listening=listening)
    levels, scores = Overview(engine.config.features.n_mels), Overview(len(plan.classes))

    def take_levels(piece: FrameLevels) -> None:
        levels.push(piece.levels_db)

    def take_scores(piece: FrameScores) -> None:
        scores.push(piece.probabilities)

    # how far it is says the second reading, which takes longer
    measure_recording(path, engine.config, listening=replace(listening, on_levels=take_levels, on_progress=None))
    # a picture has room for every scene of a stretch
    every_scene = replace(scenes, top_k=len(engine.config.scenes))
    full = analyse_file(
        path, engine, scenes=every_scene, plan=plan, listening=replace(listening, on_frames=take_scores)
    )
    record = _with_best(full, top_k=top_k)
    listening.on_picture(
        Picture(
            record=replace(record, stretches=full.stretches),
            levels_db=levels.columns(),
            level_column_s=engine.config.features.clock.frames_to_s(levels.frames_per_column),
            centres_hz=band_centres_hz(engine.config.features),
            probabilities=scores.columns(),
            score_column_s=engine.config.clock.frames_to_s(scores.frames_per_column),
            classes=plan.classes,
        )
    )
    return record


def _with_best(record: Record, *, top_k: int) -> Record:
    """A record that names no more scenes than were asked for."""
    stretches = record.stretches
    return replace(
        record,
        scenes=None if record.scenes is None else record.scenes[:top_k],
        stretches=stretches and tuple(replace(stretch, scenes=stretch.scenes[:top_k]) for stretch in stretches),
    )
