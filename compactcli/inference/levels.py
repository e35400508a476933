"""Log-mel of one recording of any length, in pieces, as the network hears it."""

import os
from dataclasses import dataclass
from pathlib import Path

from compactcli.audio import open_audio
from compactcli.checkpoint import DEFAULT_MODEL, find_model, read_config
from compactcli.config import ModelConfig
from compactcli.engine.base import LoadedModel, cut_windows
from compactcli.inference.listening import PLAINLY, Listening, heard_blocks, record_of
from compactcli.logmel import NumpyLogMel, band_centres_hz
from compactcli.records import Record
from compactcli.scores import FrameLevels


@dataclass(frozen=True, kw_only=True)
class LogMelModel:
    """A model of which the log-mel is all that is used: neither its weights nor an engine are loaded.

    Args:
        config: The model's settings.
    """

    config: ModelConfig
    device: str = "cpu"
    name: str = "numpy"


def load_log_mel(model: str | os.PathLike[str] | None = None) -> LoadedModel:
    """What ``measure_recording`` needs of a model.

    Args:
        model: Name of an installed model or a model folder; None takes the default model.

    Raises:
        ModelError: There is no such model, or its settings cannot be read.
    """
    return LogMelModel(config=read_config(find_model(DEFAULT_MODEL if model is None else os.fspath(model))))


def measure_recording(path: str | Path, config: ModelConfig, *, listening: Listening = PLAINLY) -> Record:
    """Give out the log-mel frames of a recording.

    Args:
        path: The recording; see ``open_audio`` for the formats.
        config: The model's, for its features.
        listening: Limits, and who is told what: ``on_levels`` gets consecutive frames, ``ceil(n_samples / hop_length)``
            in all.

    Returns:
        Record without scenes and events; its status is ``partial`` when the recording is damaged and the frames are
        those of what decoded.

    Raises:
        AudioError: The recording cannot be analysed at all.
    """
    features = config.features
    log_mel, centres_hz = NumpyLogMel(features), band_centres_hz(features)
    n_frames = 0
    with open_audio(path, sample_rate=features.sample_rate, limits=listening.limits, name=listening.name) as reader:
        blocks = heard_blocks(reader, gain_db=listening.gain_db, times=listening.times)
        for window in cut_windows(blocks, config=config, context_frames=0):
            # the last window is filled up to a frame of the network's, which may be longer
            levels_db = log_mel.of_padded(window.waveform).T[: features.clock.n_frames(reader.n_samples) - n_frames]
            first, n_frames = n_frames, n_frames + len(levels_db)
            if listening.on_levels is not None:
                end = min(n_frames * features.hop_length, reader.n_samples)
                edges_s = features.clock.edges_s(end, first=first)
                listening.on_levels(FrameLevels(levels_db=levels_db, edges_s=edges_s, centres_hz=centres_hz))
            if listening.on_progress is not None:
                listening.on_progress(features.clock.frames_to_s(n_frames), reader.info.duration_s)
    return record_of(reader, config)
