"""The public functions of the package: paths or samples in memory become records."""

import operator
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from compactcli.audio import AudioLimits, Waveform, check_duration, convert_waveform
from compactcli.config import DetectionConfig, ModelConfig
from compactcli.engine.base import Engine
from compactcli.errors import ConfigError, require_number
from compactcli.heads import Embedder
from compactcli.inference.listening import Listening, listen
from compactcli.inference.planning import (
    DEFAULT_TOP_K,
    DetectionPlan,
    ScenePlan,
    check_every,
    override_detection,
    plan_detection,
)
from compactcli.inference.recordings import analyse_file
from compactcli.inference.stretches import name_stretches
from compactcli.inference.vectors import as_vectors, embed_blocks, embed_recording, load_embedder
from compactcli.records import Record

Recording = str | os.PathLike[str] | npt.NDArray[Any]


def classify(
    recording: Recording,
    *,
    sample_rate: int | None = None,
    model: str | os.PathLike[str] | Engine | None = None,
    device: str = "auto",
    top_k: int = DEFAULT_TOP_K,
    every: float | None = None,
    max_duration: float | None = None,
    gain: float = 0.0,
) -> Record:
    """Say where a recording was made, as ``compact classify`` does.

    Args:
        recording: A path, or floating-point samples of shape ``(n_samples,)`` or ``(n_samples, n_channels)``.
        sample_rate: Hz of the samples; not for paths.
        model: Name or folder of a model, or what ``load_model`` gave; None takes the default model.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``; not used when a loaded model is given.
        top_k: Scenes to name, best first, at least 1.
        every: Seconds of the stretches whose scenes are named too, at least 1; None names those of the whole alone.
        max_duration: Longest recording that is analysed, in seconds; None sets no limit.
        gain: By how many dB the recording is raised before it is listened to, from -60 to 60; nothing clips.

    Returns:
        See ``classify_recording``; the path is empty for samples.

    Raises:
        AudioError: The recording cannot be analysed.
        ConfigError: The options do not fit together.
        ModelError: There is no such model.
        DeviceError: There is no such device.

    Example:
        >>> import compactcli
        >>> record = compactcli.classify("sample_audio/events.wav", top_k=2)
        >>> record.duration, len(record.scenes)
        (10.0, 2)
    """
    listening = _listening(max_duration, gain)
    scenes = ScenePlan(top_k=top_k, every_s=every)
    engine = _as_engine(model, device)
    return _analyse(recording, engine, sample_rate=sample_rate, scenes=scenes, plan=None, listening=listening)


def detect(
    recording: Recording,
    *,
    sample_rate: int | None = None,
    model: str | os.PathLike[str] | Engine | None = None,
    device: str = "auto",
    detection: DetectionConfig | None = None,
    threshold: float | Mapping[str, float] | None = None,
    classes: Sequence[str] | None = None,
    exclude: Sequence[str] = (),
    step: float | None = None,
    hysteresis: float | None = None,
    min_duration: float | None = None,
    max_gap: float | None = None,
    median: float | None = None,
    top_k: int = DEFAULT_TOP_K,
    max_duration: float | None = None,
    gain: float = 0.0,
) -> Record:
    """Say what happened when in a recording, as ``compact detect`` does.

    Args:
        recording: A path, or floating-point samples of shape ``(n_samples,)`` or ``(n_samples, n_channels)``.
        sample_rate: Hz of the samples; not for paths.
        model: Name or folder of a model, or what ``load_model`` gave; None takes the default model.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``; not used when a loaded model is given.
        detection: How probabilities become events; None takes the model's own settings. ``override_detection`` changes
            some of those.
        threshold: Lowest score of an event, from 0 to 1, in the place of ``detection``'s: one for all classes, or those
            of single classes by their names.
        classes: Events to look for; None looks for all.
        exclude: Events not to look for, even where ``classes`` names them.
        step: Seconds that the filter is long at whose steepest rises and falls events begin and end; 0 lets them begin
            and end at their threshold.
        hysteresis: For events at their threshold: how far below its threshold the score of a class may fall while an
            event goes on, from 0 to 1; None keeps ``detection``'s, here and below.
        min_duration: Seconds; shorter events are dropped.
        max_gap: Seconds; gaps up to this inside one class are closed.
        median: For events at their threshold: seconds that the smoothing is long; 0 for none.
        top_k: Scenes to name besides, best first, at least 1.
        max_duration: Longest recording that is analysed, in seconds; None sets no limit.
        gain: By how many dB the recording is raised before it is listened to, from -60 to 60; nothing clips.

    Returns:
        See ``detect_recording``; the path is empty for samples.

    Raises:
        AudioError: The recording cannot be analysed.
        ConfigError: The options do not fit together or name an unknown class.
        ModelError: There is no such model.
        DeviceError: There is no such device.

    Example:
        >>> import compactcli
        >>> record = compactcli.detect("sample_audio/events.wav", classes=["speech"])
        >>> {event.label for event in record.events}
        {'speech'}
    """
    listening = _listening(max_duration, gain)
    scenes = ScenePlan(top_k=top_k)
    engine = _as_engine(model, device)
    settings = override_detection(
        engine.config.detection if detection is None else detection,
        threshold=None if isinstance(threshold, Mapping) else threshold,
        class_thresholds=threshold if isinstance(threshold, Mapping) else None,
        step_s=step,
        hysteresis=hysteresis,
        min_duration_s=min_duration,
        max_gap_s=max_gap,
        median_s=median,
    )
    plan = plan_detection(engine.config, detection=settings, classes=classes, exclude=exclude)
    return _analyse(recording, engine, sample_rate=sample_rate, scenes=scenes, plan=plan, listening=listening)


def load_model(
    model: str | os.PathLike[str] | None = None,
    *,
    device: str = "auto",
    engine: str = "auto",
    batch_size: int | None = None,
    precision: str = "fp32",
) -> Engine:
    """Load a model once, for many recordings.

    Args:
        model: Name of an installed model or a model folder; None takes the default model.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        engine: ``auto``, ``onnx`` or ``torch``; see ``compactcli.engine.load_engine``.
        batch_size: Windows of 30 s that the torch engine hears at once, at least 1; None takes what suits the device.
        precision: ``fp32``, or ``bf16`` for the torch engine; see ``compactcli.engine.load_engine``.

    Raises:
        ModelError: There is no such model, or its folder is incomplete or altered.
        DeviceError: There is no such device.
        ConfigError: The engine or the precision is unknown, they do not run together or on that device, or the engine
            is not installed.
    """
    from compactcli.checkpoint import DEFAULT_MODEL, find_model
    from compactcli.engine import load_engine

    folder = find_model(DEFAULT_MODEL if model is None else os.fspath(model))
    return load_engine(folder, device=device, engine=engine, batch_size=batch_size, precision=precision)


def embed(
    recording: Recording,
    *,
    sample_rate: int | None = None,
    model: str | os.PathLike[str] | Embedder | None = None,
    device: str = "auto",
    every: float | None = None,
    max_duration: float | None = None,
    gain: float = 0.0,
) -> Record:
    """Turn a recording into vectors that are the nearer to one another the more alike it sounds, as ``compact embed``.

    Args:
        recording: A path, or floating-point samples of shape ``(n_samples,)`` or ``(n_samples, n_channels)``.
        sample_rate: Hz of the samples; not for paths.
        model: Name or folder of a model, or what ``load_embedder`` gave; None takes the default model.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``; not used when a loaded model is given.
        every: Seconds of the stretches that have a vector each, at least 1; None gives the whole recording one.
        max_duration: Longest recording that is embedded, in seconds; None sets no limit.
        gain: By how many dB the recording is raised before it is listened to, from -60 to 60; nothing clips.

    Returns:
        See ``embed_recording``; the path is empty for samples.

    Raises:
        AudioError: The recording cannot be embedded.
        ConfigError: The options do not fit together.
        ModelError: There is no such model.
        DeviceError: There is no such device.

    Example:
        >>> import compactcli
        >>> record = compactcli.embed("sample_audio/events.wav", every=5)
        >>> [(vector.start, vector.stop, len(vector.values)) for vector in record.vectors]
        [(0.0, 5.0, 256), (5.0, 10.0, 256)]
    """
    listening = _listening(max_duration, gain)
    check_every(every)
    if model is None or isinstance(model, str | os.PathLike):
        model = load_embedder(model, device=device)
    if not isinstance(model, Embedder):
        raise ConfigError(
            f"the model is {type(model).__name__}, expected what load_embedder gave", hint="use load_embedder for embed"
        )
    return _embed(recording, model, sample_rate=sample_rate, every_s=every, listening=listening)


def _embed(
    recording: Recording, embedder: Embedder, *, sample_rate: int | None, every_s: float | None, listening: Listening
) -> Record:
    path = _as_path(recording, sample_rate)
    if path is not None:
        return embed_recording(path, embedder, every_s=every_s, listening=listening)
    samples = _as_samples(recording, embedder.config, sample_rate=sample_rate, limits=listening.limits)
    means = embed_blocks([samples.waveform], embedder, every_s=every_s, listening=listening)
    return Record(
        path="",
        duration=samples.duration_s,
        sample_rate=samples.sample_rate,
        model=embedder.config.name,
        model_version=embedder.config.release,
        vectors=as_vectors(means, samples.duration_s),
    )


def _as_engine(model: str | os.PathLike[str] | Engine | None, device: str) -> Engine:
    if isinstance(model, Embedder):
        raise ConfigError(
            "the model is Embedder, expected what load_model gave", hint="use load_model for classify and detect"
        )
    if model is None or isinstance(model, str | os.PathLike):
        return load_model(model, device=device)
    given: Any = model  # whatever the types say
    if not hasattr(given, "stream"):
        raise ConfigError(
            f"the model is {type(given).__name__}, expected a name, a folder or what load_model gave",
            hint="leave model out for the default model",
        )
    return model


def _analyse(
    recording: Recording,
    engine: Engine,
    *,
    sample_rate: int | None,
    scenes: ScenePlan,
    plan: DetectionPlan | None,
    listening: Listening,
) -> Record:
    path = _as_path(recording, sample_rate)
    if path is not None:
        return analyse_file(path, engine, scenes=scenes, plan=plan, listening=listening)
    samples = _as_samples(recording, engine.config, sample_rate=sample_rate, limits=listening.limits)
    findings = listen([samples.waveform], engine, plan=plan, every_s=scenes.every_s, listening=listening)
    return Record(
        path="",
        duration=samples.duration_s,
        sample_rate=samples.sample_rate,
        model=engine.config.name,
        model_version=engine.config.release,
        scenes=tuple(findings.scenes.top(scenes.top_k)),
        stretches=name_stretches(findings.stretches, top_k=scenes.top_k, duration_s=samples.duration_s),
        events=findings.events,
    )


def _listening(max_duration: float | None, gain: float) -> Listening:
    if max_duration is not None:
        require_number(max_duration, "max_duration")
    return Listening(limits=AudioLimits(max_duration_s=max_duration), gain_db=gain)


def _as_path(recording: Recording, sample_rate: int | None) -> Path | None:
    """The path of a recording that is one, None of samples."""
    if isinstance(recording, str | os.PathLike):
        if sample_rate is not None:
            raise ConfigError(
                f"sample_rate is {sample_rate} for the file {os.fspath(recording)}, expected None: a file has its own",
                hint="leave sample_rate out",
            )
        return Path(recording)
    given: Any = recording  # whatever the types say
    if given is None or isinstance(given, bytes | int) or hasattr(given, "read"):
        raise ConfigError(
            f"the recording is {type(given).__name__}, expected a path as text or pathlib.Path, or an array",
            hint="read an open file with soundfile first, and decode bytes of a path with os.fsdecode",
        )
    return None


@dataclass(frozen=True, kw_only=True, eq=False)
class _Samples:
    """A recording in memory.

    Args:
        waveform: As the model hears it.
        sample_rate: Hz, as it was given.
        duration_s: Seconds.
    """

    waveform: Waveform
    sample_rate: int
    duration_s: float


def _as_samples(recording: Recording, config: ModelConfig, *, sample_rate: int | None, limits: AudioLimits) -> _Samples:
    if sample_rate is None:
        raise ConfigError("samples came without a sample_rate, expected Hz", hint="pass sample_rate=44100, for example")
    try:
        sample_rate = operator.index(sample_rate)
    except TypeError as error:
        raise ConfigError(
            f"sample_rate is {sample_rate!r}, expected a whole number of Hz", hint="pass sample_rate=44100, for example"
        ) from error
    samples = np.asarray(recording)
    waveform = convert_waveform(samples, from_rate=sample_rate, sample_rate=config.features.sample_rate)
    check_duration("the array", n_frames=len(samples), rate_hz=sample_rate, decoded=True, limits=limits)
    return _Samples(waveform=waveform, sample_rate=sample_rate, duration_s=len(samples) / sample_rate)
