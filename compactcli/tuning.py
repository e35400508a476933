"""A trained network becomes a model: calibrated on validation recordings and written as a folder."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from compactcli.calibration import fit_event_biases, fit_event_scale, fit_scene_scale
from compactcli.checkpoint import save_model
from compactcli.config import CalibrationConfig, ModelConfig
from compactcli.engine import Engine, load_engine
from compactcli.evaluation import hear
from compactcli.events import events_to_roll
from compactcli.heldout import HeldOut
from compactcli.model import CompactNet
from compactcli.recipe import Recipe
from compactcli.smoothing import median_filter
from compactcli.temporary import temporary_folder

N_SOUNDSCAPES = 400
# the resolution of the segment-based metric that the operating point is chosen for
SEGMENT_S = 1.0
# fitted on one half of the validation sources, biases gain nothing on the other half; this much lets the surest in
PRIOR_WEIGHT = 0.2
# noise at -80 dBFS, the last bits of a 16-bit recording: nothing that can be called an event
NOISE_LEVEL, NOISE_S = 1e-4, 60.0
# how far below the operating point its best smoothed logit has to stay
NOISE_MARGIN = 0.1
# of a network that has learned next to nothing the best scale may be 0 or less, which no calibration can be
SMALLEST_SCALE = 0.01


def fit_calibration(
    engine: Engine, held_out: HeldOut, *, report: Callable[[], None] = lambda: None
) -> CalibrationConfig:
    """Fit scales and biases on validation soundscapes and scenes.

    One scale and one shift for all events by log-loss on frames, then one bias a class by segment F1,
    held near 0 because few validation recordings stand behind a class, and low enough that noise at
    -80 dBFS holds no event; a temperature for the scenes.

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
    scale, shift = fit_event_scale(all_logits, all_truth, all_known, smallest=SMALLEST_SCALE)
    shifted = (scale * all_logits + shift).astype(np.float32)
    pooled = [_highest_of(frames, config.clock.s_to_frames(SEGMENT_S)) for frames in (shifted, all_truth, all_known)]
    biases = fit_event_biases(*pooled, prior_weight=PRIOR_WEIGHT)
    biases = np.minimum(biases, -NOISE_MARGIN - (scale * _noise_logits(engine) + shift))
    scene_logits, scene_truth = [], []
    for recording in held_out.scenes():
        for clip in recording.clips:
            scene_logits.append(hear(engine, clip).scenes)
            scene_truth.append(config.scenes.index(recording.scene))
            report()
    scene_scale = fit_scene_scale(np.array(scene_logits), np.array(scene_truth)) if scene_logits else 1.0
    return CalibrationConfig(
        scene_scale=round(scene_scale, 4),
        event_scale=round(scale, 4),
        event_bias=tuple(round(float(bias + shift), 4) for bias in biases),
    )


def release(
    network: CompactNet,
    recipe: Recipe,
    held_out: HeldOut | None,
    output: Path,
    *,
    report: Callable[[], None] = lambda: None,
) -> ModelConfig:
    """Write a trained network as a calibrated model folder.

    Args:
        network: With its final weights.
        recipe: What it was trained by.
        held_out: Validation recordings; None leaves the scores as the network gives them.
        output: Model folder.
        report: Called after every clip that is listened to.
    """
    config = ModelConfig(
        name=recipe.name,
        version=recipe.version,
        scenes=tuple(recipe.scenes),
        events=recipe.events.classes,
        features=recipe.features,
        network=recipe.network,
        detection=recipe.detection,
        training={
            "steps": recipe.optimisation.steps,
            "clips": recipe.optimisation.steps * recipe.optimisation.batch_size,
            "seed": recipe.seed,
        },
    )
    if held_out is not None:
        # nobody shall take a model for finished that is not; on the CPU, where most people will run it
        with temporary_folder() as folder:
            save_model(folder, config, network)
            calibration = fit_calibration(load_engine(folder, device="cpu"), held_out, report=report)
        config = dataclasses.replace(config, calibration=calibration)
    return save_model(output, config, network)


def _noise_logits(engine: Engine) -> npt.NDArray[np.float32]:
    """Highest smoothed logit of each event in the noise that has none, shape ``(n_events,)``."""
    config = engine.config
    n_samples = round(NOISE_S * config.features.sample_rate)
    noise = NOISE_LEVEL * np.random.default_rng(0).standard_normal(n_samples)
    frames = hear(engine, noise.astype(np.float32)).events
    smoothed = median_filter(frames, config.clock.s_to_odd_frames(config.detection.median_s))
    highest: npt.NDArray[np.float32] = smoothed.max(axis=0)
    return highest


def _highest_of(frames: npt.NDArray[Any], segment_length: int) -> npt.NDArray[Any]:
    n_segments = len(frames) // segment_length
    highest: npt.NDArray[Any] = (
        frames[: n_segments * segment_length].reshape(n_segments, segment_length, -1).max(axis=1)
    )
    return highest
