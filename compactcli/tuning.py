"""Validation recordings become a calibration: 0.5 as the operating point of every class."""

import dataclasses
from collections.abc import Callable

import numpy as np

from compactcli.calibration import fit_event_biases, fit_event_scale, fit_scene_scale
from compactcli.config import CalibrationConfig
from compactcli.engine import Engine
from compactcli.evaluation import HeldOut, hear
from compactcli.events import events_to_roll

N_SOUNDSCAPES = 400
# one second, the resolution of the segment-based metric that the operating point is chosen for
POOLED_FRAMES = 25
PRIOR_WEIGHT = 0.02


def fit_calibration(
    engine: Engine, held_out: HeldOut, *, report: Callable[[], None] = lambda: None
) -> CalibrationConfig:
    """Fit scales and biases on validation soundscapes and scenes.

    One scale and one shift for all events by log-loss on frames, then one bias a class by segment F1,
    held near 0 because few validation recordings stand behind a class; a temperature for the scenes.

    Args:
        engine: The model without a calibration.
        held_out: Validation recordings, which neither trained the network nor test it.
        report: Called after every clip.
    """
    config = engine.config
    logits, truth, known = [], [], []
    for soundscape in held_out.soundscapes(N_SOUNDSCAPES):
        frames = hear(engine, soundscape.waveform).events
        edges = config.clock.edges_s(len(soundscape.waveform))
        logits.append(frames)
        truth.append(events_to_roll(soundscape.events, edges_s=edges, classes=config.events))
        known.append(np.tile([name not in soundscape.unsure for name in config.events], (len(frames), 1)))
        report()
    all_logits, all_truth, all_known = (np.concatenate(items) for items in (logits, truth, known))
    scale, shift = fit_event_scale(all_logits, all_truth, all_known)

    def pooled(array: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
        n_segments = len(array) // POOLED_FRAMES
        whole: np.ndarray = array[: n_segments * POOLED_FRAMES].reshape(n_segments, POOLED_FRAMES, -1)  # type: ignore[type-arg]
        return whole.max(axis=1)

    shifted = (scale * all_logits + shift).astype(np.float32)
    biases = fit_event_biases(pooled(shifted), pooled(all_truth), pooled(all_known), prior_weight=PRIOR_WEIGHT)
    scene_logits, scene_truth = [], []
    for scene, waveform in held_out.scene_clips():
        scene_logits.append(hear(engine, waveform).scenes)
        scene_truth.append(config.scenes.index(scene))
        report()
    return dataclasses.replace(
        CalibrationConfig(),
        scene_scale=round(fit_scene_scale(np.array(scene_logits), np.array(scene_truth)), 4),
        event_scale=round(scale, 4),
        event_bias=tuple(round(float(bias + shift), 4) for bias in biases),
    )
