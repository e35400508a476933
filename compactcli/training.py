"""A labelled corpus becomes a model: the loop, its schedule, its checkpoints and its validation."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from compactcli import training_state
from compactcli.audio import read_audio
from compactcli.augment import response_curves
from compactcli.bank import LogMelBank, load_bank
from compactcli.checkpoint import STATE
from compactcli.datasets import DROPPED, TRAIN, VALIDATION, read_corpus, read_table
from compactcli.descent import make_optimiser, precision, take_step
from compactcli.errors import ConfigError, ManifestError
from compactcli.losses import TeacherHeads, pool_tags, training_losses
from compactcli.mixing import Batch, Mixer
from compactcli.model import CompactNet
from compactcli.plainjson import to_json
from compactcli.plans import Plan, Planner
from compactcli.recipe import OptimisationConfig, Recipe
from compactcli.starting import average_weights, copy_weights

LOG = "log.jsonl"


@dataclass(frozen=True, kw_only=True)
class Progress:
    """What a training run reports.

    Args:
        step: Steps done.
        steps: Steps in all.
        losses: Mean of each weighted loss since the last report.
        metrics: Validation metrics; empty between validations.
        clips_per_s: Training speed since the last report.
    """

    step: int
    steps: int
    losses: Mapping[str, float]
    metrics: Mapping[str, float]
    clips_per_s: float


def build_network(recipe: Recipe) -> CompactNet:
    """The recipe's network with fresh weights."""
    return CompactNet(
        recipe.network,
        n_mels=recipe.features.n_mels,
        n_scenes=len(recipe.scenes),
        n_events=len(recipe.events.classes),
    )


def load_training_data(
    corpus: Path,
    recipe: Recipe,
    *,
    cache: Path,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[LogMelBank, np.ndarray[Any, np.dtype[np.float32]]]:
    """Log-mels of all recordings that are not dropped, and the microphone responses as band gains.

    Raises:
        ManifestError: The corpus' tables do not fit, or no recording is left to train on.
    """
    recordings = [item for item in read_corpus(corpus, recipe) if item.split != DROPPED]
    if not any(item.split == TRAIN for item in recordings):
        raise ManifestError(
            f"corpus '{corpus}' has no recordings that train under recipe '{recipe.name}'",
            hint="hold less out, and look whether its tables have rows",
        )
    bank = load_bank(corpus, recordings, recipe, cache=cache, progress=progress)
    wanted = recipe.mix.response_probability > 0
    files = [row["file"] for row in read_table(corpus / "irs/irs.csv", ("file",))] if wanted else []
    responses = [read_audio(corpus / "irs" / file, sample_rate=recipe.features.sample_rate) for file in files]
    return bank, response_curves(responses, recipe.features)


def train(
    recipe: Recipe,
    corpus: Path,
    output: Path,
    *,
    cache: Path,
    device: torch.device,
    report: Callable[[Progress], None],
    loading: Callable[[int, int], None] = lambda done, total: None,
    start: Path | None = None,
) -> CompactNet:
    """Train the recipe's network, or go on where an earlier run into ``output`` stopped.

    Args:
        recipe: What to train.
        corpus: Corpus folder.
        output: Folder for ``state.pt`` (to resume from) and ``log.jsonl`` (losses and metrics).
        cache: Folder for cached log-mels.
        device: Where to train.
        report: Called about every 50 steps.
        loading: Called with recordings loaded and in all.
        start: Model folder whose weights to begin with; None begins with random ones.

    Returns:
        The trained network, in evaluation mode.

    Raises:
        ConfigError: The recipe averages with a start that was not given, ``output`` holds the state of another recipe
            or start, or ``start`` is another network.
        ModelError: ``start`` cannot be loaded.
        ManifestError: The corpus' tables do not fit.
        CompactError: The cache, or the state, cannot be written.
    """
    options = recipe.optimisation
    bank, curves = load_training_data(corpus, recipe, cache=cache, progress=loading)
    clip_s = recipe.mix.clip_s
    planner = Planner(bank, recipe, split=TRAIN, clip_s=clip_s, stretch=recipe.mix.stretch)
    mixer = Mixer(planner, curves=curves, device=device)
    validator = Mixer(Planner(bank, recipe, split=VALIDATION, clip_s=clip_s), curves=None, device=device)
    torch.manual_seed(recipe.seed)
    network = build_network(recipe)
    if start is not None:
        copy_weights(start, network, recipe)
    elif options.start_share:
        raise ConfigError(
            f"recipe '{recipe.name}' has start_share {options.start_share}, but no model to start from was given",
            hint="give one with --start, or set start_share to 0",
        )
    began = {name: tensor.clone() for name, tensor in network.state_dict().items()} if options.start_share else {}
    network.to(device)
    heads = TeacherHeads(
        network.embedding_size, bank.teacher.probabilities.shape[1], bank.teacher.embeddings.shape[1]
    ).to(device)
    optimiser = make_optimiser([network, heads], options)
    state = {"network": network, "heads": heads, "optimiser": optimiser}
    origin = training_state.made_by(recipe, start, bank)
    step = training_state.resume(output / STATE, state, origin)
    output.mkdir(parents=True, exist_ok=True)
    _forget(output / LOG, step)
    sums: dict[str, float] = {}
    counted, started = 0, time.monotonic()
    while step < options.steps:
        # seeded at every step: a resumed run draws the same clips and drops the same channels as an uninterrupted one
        seed = np.random.SeedSequence([recipe.seed, step])
        rng = np.random.default_rng(seed)
        torch.manual_seed(int(seed.generate_state(1)[0]))
        losses = _losses(network, heads, mixer.batch(rng, options.batch_size), options)
        take_step(optimiser, torch.stack(list(losses.values())).sum(), step=step, options=options)
        step += 1
        counted += 1
        for name, value in losses.items():
            sums[name] = sums.get(name, 0.0) + float(value.detach())
        validate_now = step % options.validate_every == 0 or step == options.steps
        if step % 50 == 0 or validate_now:
            speed = counted * options.batch_size / (time.monotonic() - started)
            metrics = validate(network, validator) if validate_now else {}
            means = {name: value / counted for name, value in sums.items()}
            progress = Progress(step=step, steps=options.steps, losses=means, metrics=metrics, clips_per_s=speed)
            _log(output / LOG, progress)
            report(progress)
            sums, counted, started = {}, 0, time.monotonic()
        if step % options.save_every == 0 or step == options.steps:
            training_state.save(output / STATE, state, origin, step)
    if options.start_share:
        average_weights(network, began, mixer, recipe)
    return network.eval()


def _losses(
    network: CompactNet, heads: TeacherHeads, batch: Batch, options: OptimisationConfig
) -> dict[str, torch.Tensor]:
    network.train()
    with precision(batch.log_mel.device, options):
        embedding = network.embed(batch.log_mel)
    # heads and losses in full precision: they are small, and log-sum-exp is not
    embedding = nn.functional.dropout1d(embedding.float(), options.dropout)
    scene_logits = network.scene_head(embedding).transpose(1, 2)
    event_logits = network.event_head(embedding).transpose(1, 2)
    return training_losses(scene_logits, event_logits, heads(embedding), batch, options)


@torch.inference_mode()
def validate(network: CompactNet, validator: Mixer) -> dict[str, float]:
    """Metrics on the validation recordings, each by itself from its beginning: share of right answers.

    Returns:
        ``esc50`` and ``urbansound8k`` (best event of the clip among all events), ``scenes`` (mean of
        the recalls of the scenes that occur), in [0, 1]; none of what no validation recording stands for.
    """
    network.eval()
    recordings = validator.bank.recordings
    rng = np.random.default_rng(0)
    chosen = [index for index, item in enumerate(recordings) if item.split == VALIDATION]
    hits: dict[str, list[float]] = {}
    for start in range(0, len(chosen), 64):
        indices = chosen[start : start + 64]
        plans = [Plan(parts=(validator.planner.beginning(index),), kind="clip") for index in indices]
        batch = validator.render(plans, rng)
        scene_logits, event_logits = network(batch.log_mel)
        scenes = scene_logits.mean(dim=1).argmax(dim=1).tolist()
        tags = pool_tags(event_logits).argmax(dim=1).tolist()
        for index, scene, tag in zip(indices, scenes, tags, strict=True):
            item = recordings[index]
            if item.folder in ("esc50", "urbansound8k") and item.event is not None:
                hits.setdefault(item.folder, []).append(float(tag == validator.event_index[item.event]))
            if item.scene is not None:
                hits.setdefault(f"scene {item.scene}", []).append(float(scene == validator.scene_index[item.scene]))
    metrics = {name: float(np.mean(values)) for name, values in hits.items() if not name.startswith("scene ")}
    recalls = [np.mean(values) for name, values in hits.items() if name.startswith("scene ")]
    if recalls:
        metrics["scenes"] = float(np.mean(recalls))
    return metrics


def _forget(path: Path, step: int) -> None:
    """Take out of the log what a stopped run has written after it was saved last: it is done again."""
    if not path.exists():
        return
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    # what a killed run was writing is no whole line
    kept = [line for line in lines if line.endswith("\n") and json.loads(line)["step"] <= step]
    path.write_text("".join(kept), encoding="utf-8")


def _log(path: Path, progress: Progress) -> None:
    with path.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(to_json(progress)) + "\n")
