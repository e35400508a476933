"""A labelled corpus becomes a model: the loop, its schedule, its checkpoints and its validation."""

import dataclasses
import json
import math
import pickle
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from compactcli.audio import read_audio
from compactcli.augment import response_curves
from compactcli.bank import LogMelBank, load_bank
from compactcli.checkpoint import WEIGHTS, load_network, read_config
from compactcli.config import to_json
from compactcli.datasets import DROPPED, TRAIN, VALIDATION, read_corpus, read_table
from compactcli.errors import ConfigError
from compactcli.losses import TeacherHeads, pool_tags, training_losses
from compactcli.mixing import Batch, Mixer
from compactcli.model import CompactBlock, CompactNet
from compactcli.plans import Plan, Planner
from compactcli.recipe import OptimisationConfig, Recipe

# what a stopped run goes on from; a finished one is not trained again by accident
STATE = "state.pt"
# batches over which an averaged network's normalisation is measured
AVERAGING_BATCHES = 40


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


def learning_rate(step: int, options: OptimisationConfig) -> float:
    """Linear warm-up, then a cosine from the peak down to 1 % of it."""
    if step < options.warmup_steps:
        return options.learning_rate * (step + 1) / options.warmup_steps
    progress = (step - options.warmup_steps) / max(1, options.steps - options.warmup_steps)
    return options.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress)))


def load_training_data(
    corpus: Path,
    recipe: Recipe,
    *,
    cache: Path,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[LogMelBank, np.ndarray[Any, np.dtype[np.float32]]]:
    """Log-mels of all recordings that are not dropped, and the microphone responses as band gains."""
    recordings = [item for item in read_corpus(corpus, recipe) if item.split != DROPPED]
    bank = load_bank(corpus, recordings, recipe, cache=cache, progress=progress)
    files = [row["file"] for row in read_table(corpus / "irs/irs.csv", ("file",))]
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
    """
    options = recipe.optimisation
    output.mkdir(parents=True, exist_ok=True)
    bank, curves = load_training_data(corpus, recipe, cache=cache, progress=loading)
    clip_s = recipe.mix.clip_s
    planner = Planner(bank, recipe, split=TRAIN, clip_s=clip_s, stretch=recipe.mix.stretch)
    mixer = Mixer(planner, curves=curves, device=device)
    validator = Mixer(Planner(bank, recipe, split=VALIDATION, clip_s=clip_s), curves=None, device=device)
    torch.manual_seed(recipe.seed)
    network = build_network(recipe)
    if start is not None:
        _copy_weights(start, network, recipe)
    elif options.start_share:
        raise ConfigError(
            f"recipe '{recipe.name}' has start_share {options.start_share}, but no model to start from was given",
            hint="give one with --start, or set start_share to 0",
        )
    began = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    network.to(device)
    heads = TeacherHeads(
        network.embedding_size, bank.teacher.probabilities.shape[1], bank.teacher.embeddings.shape[1]
    ).to(device)
    optimiser = torch.optim.AdamW(_parameter_groups([network, heads], options.weight_decay), lr=options.learning_rate)
    state = {"network": network, "heads": heads, "optimiser": optimiser}
    made_by = _made_by(recipe, start)
    step = _resume(output / STATE, state, made_by)
    sums: dict[str, float] = {}
    counted, started = 0, time.monotonic()
    while step < options.steps:
        # seeded at every step: a resumed run draws the same clips and drops the same channels as an uninterrupted one
        seed = np.random.SeedSequence([recipe.seed, step])
        rng = np.random.default_rng(seed)
        torch.manual_seed(int(seed.generate_state(1)[0]))
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(step, options)
        losses = _step(network, heads, optimiser, mixer.batch(rng, options.batch_size), options, device)
        step += 1
        counted += 1
        for name, value in losses.items():
            sums[name] = sums.get(name, 0.0) + value
        validate_now = step % options.validate_every == 0 or step == options.steps
        if step % 50 == 0 or validate_now:
            speed = counted * options.batch_size / (time.monotonic() - started)
            metrics = validate(network, validator) if validate_now else {}
            means = {name: value / counted for name, value in sums.items()}
            progress = Progress(step=step, steps=options.steps, losses=means, metrics=metrics, clips_per_s=speed)
            _log(output / "log.jsonl", progress)
            report(progress)
            sums, counted, started = {}, 0, time.monotonic()
        if step % options.save_every == 0 or step == options.steps:
            _save(output / STATE, state, made_by, step)
    if options.start_share:
        average_weights(network, began, mixer, recipe)
    return network.eval()


def average_weights(network: CompactNet, start: Mapping[str, torch.Tensor], mixer: Mixer, recipe: Recipe) -> None:
    """Draw trained weights back towards those that training started from, and measure the normalisation anew.

    Args:
        network: The trained network; changed in place.
        start: Its state when training started.
        mixer: Training clips, for the means and variances of the normalisation.
        recipe: With ``optimisation.start_share``.

    Source:
        Weight-space ensembles, Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022, eq. 1; the
        statistics of batch normalisation do not average, hence the second pass.
    """
    share = recipe.optimisation.start_share
    trained = network.state_dict()
    network.load_state_dict(
        {
            name: share * start[name].to(tensor.device) + (1 - share) * tensor if tensor.is_floating_point() else tensor
            for name, tensor in trained.items()
        }
    )
    norms = [module for module in network.modules() if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d))]
    for norm in norms:
        norm.reset_running_stats()
    momenta = [norm.momentum for norm in norms]
    network.train()
    for norm in norms:
        norm.momentum = None  # the mean over all batches
    for number in range(AVERAGING_BATCHES):
        rng = np.random.default_rng([recipe.seed, recipe.optimisation.steps + number])
        batch = mixer.batch(rng, recipe.optimisation.batch_size)
        with torch.no_grad(), torch.autocast(mixer.device.type, torch.bfloat16, enabled=_is_mixed(recipe)):
            network.embed(batch.log_mel)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def _is_mixed(recipe: Recipe) -> bool:
    return recipe.optimisation.precision == "bf16"


def _step(
    network: CompactNet,
    heads: TeacherHeads,
    optimiser: torch.optim.Optimizer,
    batch: Batch,
    options: OptimisationConfig,
    device: torch.device,
) -> dict[str, float]:
    network.train()
    with torch.autocast(device.type, torch.bfloat16, enabled=options.precision == "bf16"):
        embedding = network.embed(batch.log_mel)
    # heads and losses in full precision: they are small, and log-sum-exp is not
    embedding = nn.functional.dropout1d(embedding.float(), options.dropout)
    scene_logits = network.scene_head(embedding).transpose(1, 2)
    event_logits = network.event_head(embedding).transpose(1, 2)
    losses = training_losses(scene_logits, event_logits, heads(embedding), batch, options)
    optimiser.zero_grad(set_to_none=True)
    torch.stack(list(losses.values())).sum().backward()
    nn.utils.clip_grad_norm_([*network.parameters(), *heads.parameters()], 5.0)
    optimiser.step()
    return {name: float(value.detach()) for name, value in losses.items()}


def _parameter_groups(modules: list[nn.Module], weight_decay: float) -> list[dict[str, Any]]:
    parameters = [parameter for module in modules for parameter in module.parameters()]
    return [
        {"params": [item for item in parameters if item.ndim > 1], "weight_decay": weight_decay},
        {"params": [item for item in parameters if item.ndim <= 1], "weight_decay": 0.0},
    ]


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
        plans = [Plan(parts=(validator.planner.place(rng, index, 0.0),), kind="clip") for index in indices]
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


def _copy_weights(start: Path, network: CompactNet, recipe: Recipe) -> None:
    config, trained = load_network(start)
    same_data = (config.features, config.scenes, config.events) == (
        recipe.features,
        tuple(recipe.scenes),
        recipe.events.classes,
    )
    if not same_data or not _begins_like(network, trained):
        raise ConfigError(
            f"model '{start}' has another network, other features or other classes than recipe '{recipe.name}'",
            hint="start from a model with the same [features], scenes and events, and the same [network] or one"
            " that lacks only residual blocks at its end or at the end of its last stage",
        )
    missing = network.load_state_dict(trained.state_dict(), strict=False).missing_keys
    for name, block in network.named_modules():
        # a block that the model lacks begins as the identity: what it adds to its residual is 0
        if isinstance(block, CompactBlock) and f"{name}.norm.weight" in missing:
            nn.init.zeros_(block.norm.weight)


def _begins_like(network: CompactNet, trained: CompactNet) -> bool:
    own, other = network.config, trained.config
    shapes = {name: tensor.shape for name, tensor in network.state_dict().items()}
    added = [*list(network.stages)[len(trained.stages) :], *list(network.context)[len(trained.context) :]]
    return (
        dataclasses.replace(own, stages=other.stages, context=other.context) == other
        and all(shapes.get(name) == tensor.shape for name, tensor in trained.state_dict().items())
        # widths alone do not say at which block the frequency axis is halved
        and all(a.halve == b.halve for a, b in zip(network.stages, trained.stages, strict=False))
        and all(block.residual and not block.halve for block in added)
    )


def _made_by(recipe: Recipe, start: Path | None) -> str:
    weights = None if start is None else read_config(start).sha256[WEIGHTS]
    return json.dumps({"recipe": to_json(recipe), "start": weights})


def _resume(path: Path, state: Mapping[str, Any], made_by: str) -> int:
    if not path.exists():
        return 0
    try:
        saved = torch.load(path, weights_only=True, map_location="cpu")
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise ConfigError(
            f"training state '{path}' cannot be read: {str(error).splitlines()[0] if str(error) else 'it is empty'}",
            hint="remove the file to start afresh",
        ) from error
    if saved["made_by"] != made_by:
        raise ConfigError(
            f"'{path}' was saved by another recipe, or from another start, than this run's",
            hint="give an empty --output folder, or remove the file to start afresh",
        )
    for name, part in state.items():
        part.load_state_dict(saved[name])
    return int(saved["step"])


def _save(path: Path, state: Mapping[str, Any], made_by: str, step: int) -> None:
    saved = {name: part.state_dict() for name, part in state.items()}
    temporary = path.with_suffix(".tmp")
    torch.save({**saved, "step": step, "made_by": made_by}, temporary)
    temporary.replace(path)


def _log(path: Path, progress: Progress) -> None:
    with path.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(to_json(progress)) + "\n")
