"""Planned clips become training batches: mixed log-mels with every target.

A plan's recordings are mixed by adding their mel powers. That leaves out the cross terms of adding
waveforms, which average to zero over a band and frame; evaluation mixes waveforms.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from compactcli.augment import (
    band_gains_db,
    borrowed_gains_db,
    mask,
    mel_centres_hz,
    noise_power_db,
    white_noise_power,
)
from compactcli.bank import ACTIVE, INACTIVE, UNKNOWN
from compactcli.plans import Part, Plan, Planner


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """Training clips with their targets; every tensor's first axis is the clip.

    Args:
        log_mel: dB, ``(batch, n_mels, n_frames)``.
        frames: Event activity per output frame, ``(batch, n_output_frames, n_events)``.
        known: Where ``frames`` counts.
        tags: Share of each event class, by label and teacher, ``(batch, n_events)``; zero rows teach nothing.
        present: Whether a class sounds at all, ``(batch, n_events)``.
        present_known: Where ``present`` counts.
        scenes: Share of each scene, by label and teacher, ``(batch, n_scenes)``; zero rows teach nothing, and noise
            alone has equal shares.
        teacher: Teacher probabilities, ``(batch, n_teacher_classes)``.
        embedding: Teacher embeddings, ``(batch, embedding_size)``.
        taught: 1 where the teacher's outputs count, ``(batch,)``.
    """

    log_mel: torch.Tensor
    frames: torch.Tensor
    known: torch.Tensor
    tags: torch.Tensor
    present: torch.Tensor
    present_known: torch.Tensor
    scenes: torch.Tensor
    teacher: torch.Tensor
    embedding: torch.Tensor
    taught: torch.Tensor


class Mixer:
    """Renders plans as batches of log-mels and targets.

    Args:
        planner: Draws the plans and knows the recordings.
        curves: Microphone responses in dB, ``(n_responses, n_mels)``; None switches augmentation off, noise included.
        device: Where tensors are made.
    """

    def __init__(self, planner: Planner, *, curves: npt.NDArray[np.float32] | None, device: torch.device) -> None:
        self.planner, self.curves, self.device = planner, curves, device
        self.bank, self.recipe, self.n_frames = planner.bank, planner.recipe, planner.n_frames
        self.centres_hz = mel_centres_hz(self.recipe.features)
        self.scene_index = {name: index for index, name in enumerate(self.recipe.scenes)}
        self.event_index = {name: index for index, name in enumerate(self.recipe.events.classes)}
        self.frames = torch.from_numpy(self.bank.frames).to(device)
        self.noise = white_noise_power(self.recipe.features).to(device)

    def batch(self, rng: np.random.Generator, n_clips: int) -> Batch:
        """Draw and render ``n_clips`` clips."""
        return self.render([self.planner.draw(rng) for _ in range(n_clips)], rng)

    def render(self, plans: list[Plan], rng: np.random.Generator) -> Batch:
        """Log-mels and targets of planned clips.

        Args:
            plans: Clips.
            rng: Source of the augmentation's randomness.
        """
        log_mel = self._log_mels(plans, rng)
        state, present, unsure = self._states(plans)
        scenes = np.zeros((len(plans), len(self.scene_index)), dtype=np.float32)
        tags = np.zeros((len(plans), len(self.event_index)), dtype=np.float32)
        teacher, options = self.bank.teacher, self.recipe.optimisation
        probabilities = np.zeros((len(plans), teacher.probabilities.shape[1]), dtype=np.float32)
        embeddings = np.zeros((len(plans), teacher.embeddings.shape[1]), dtype=np.float32)
        taught = np.zeros(len(plans), dtype=np.float32)
        for clip, plan in enumerate(plans):
            if plan.scene is not None:
                scenes[clip, self.scene_index[plan.scene]] = 1
            if plan.kind == "noise":
                scenes[clip] = 1 / len(self.scene_index)
            if plan.kind != "clip":
                continue
            amplitudes = np.array([10 ** (part.level_db / 20) for part in plan.parts])
            for part, share in zip(plan.parts, amplitudes / amplitudes.sum(), strict=True):
                recording = self.bank.recordings[part.recording]
                window = teacher.window_at(part.recording, self._middle_s(part))
                if recording.scene is not None:
                    heard = None if window is None else teacher.scenes[window]
                    column = self.scene_index[recording.scene]
                    _add_share(scenes[clip], column, share, heard=heard, heard_share=options.scene_teacher_share)
                if recording.event is not None:
                    heard = None if window is None else teacher.tags[window]
                    column = self.event_index[recording.event]
                    _add_share(tags[clip], column, share, heard=heard, heard_share=options.teacher_share)
                if window is not None:
                    probabilities[clip] += share * teacher.probabilities[window]
                    embeddings[clip] += share * teacher.embeddings[window]
                    taught[clip] += share
        taught[taught < 0.99] = 0

        def tensor(array: npt.NDArray[np.float32]) -> torch.Tensor:
            return torch.from_numpy(array).to(self.device)

        return Batch(
            log_mel=log_mel,
            frames=(state == ACTIVE).float(),
            known=(state != UNKNOWN).float(),
            tags=tensor(tags),
            present=present.float(),
            present_known=(present | ~unsure).float(),
            scenes=tensor(scenes),
            teacher=tensor(probabilities),
            embedding=tensor(embeddings),
            taught=tensor(taught),
        )

    def _middle_s(self, part: Part) -> float:
        """Middle of a part in its recording."""
        return (part.source_start + part.length * part.stretch / 2) / self.planner.frame_rate

    def _rows(self, part: Part) -> npt.NDArray[np.int64]:
        length = int(self.bank.length[part.recording])
        offsets = part.source_start + np.floor(np.arange(part.length) * part.stretch).astype(np.int64)
        # rounding may ask for one frame past the end: the last one is held
        offsets = offsets % length if part.loop else np.minimum(offsets, length - 1)
        rows: npt.NDArray[np.int64] = self.bank.start[part.recording] + offsets
        return rows

    def _log_mels(self, plans: list[Plan], rng: np.random.Generator) -> torch.Tensor:
        mix, features = self.recipe.mix, self.recipe.features
        parts = [part for plan in plans for part in plan.parts]
        clip_of = np.repeat(np.arange(len(plans)), [len(plan.parts) for plan in plans])
        reference_db = np.repeat([self.planner.reference_db(plan) for plan in plans], [len(p.parts) for p in plans])
        rows = np.zeros((len(parts), self.n_frames), dtype=np.int64)
        gain = np.full((len(parts), self.n_frames), -400.0, dtype=np.float32)
        bands = np.tile(np.arange(features.n_mels), (len(parts), 1))
        for index, part in enumerate(parts):
            sounding = slice(part.start, part.start + part.length)
            rows[index, sounding] = self._rows(part)
            gain[index, sounding] = reference_db[index] + part.level_db - self.bank.level_db[part.recording]
            if self.curves is not None and mix.shift_bands:
                bands[index] += rng.integers(-mix.shift_bands, mix.shift_bands + 1)
        bands = np.clip(bands, 0, features.n_mels - 1)
        log_mel = self.frames[torch.from_numpy(rows).to(self.device)].float()  # (n_parts, n_frames, n_mels)
        columns = torch.from_numpy(bands).to(self.device)[:, None, :].expand_as(log_mel)
        log_mel = log_mel.gather(2, columns) + torch.from_numpy(gain).to(self.device)[:, :, None]
        power = torch.zeros(len(plans), self.n_frames, features.n_mels, device=self.device)
        power.index_add_(0, torch.from_numpy(clip_of).to(self.device), torch.exp(log_mel * (np.log(10) / 10)))
        if self.curves is not None:
            power = self._add_noise(power, plans, rng)
            gains = band_gains_db(rng, len(plans), mix, self.curves, self.centres_hz)
            filters = torch.from_numpy(gains).to(self.device)
            if mix.spectrum_probability:
                filters = filters + borrowed_gains_db(rng, power, mix)
            power = power * (10 ** (filters / 10))[:, None, :]
        mixed = 10 * torch.log10(power + 10 ** (features.floor_db / 10)).transpose(1, 2)
        if self.curves is not None:
            mixed = mask(rng, mixed, mix, frame_rate=self.planner.frame_rate, floor_db=features.floor_db)
        return mixed.contiguous()

    def _add_noise(self, power: torch.Tensor, plans: list[Plan], rng: np.random.Generator) -> torch.Tensor:
        alone = np.array([plan.kind == "noise" for plan in plans])
        shape_db = noise_power_db(rng, alone, self.recipe.mix, self.centres_hz)
        noise = torch.from_numpy(10 ** (shape_db / 10)).to(power.device)[:, None, :]
        reference_db = torch.tensor([self.planner.reference_db(plan) for plan in plans], device=power.device)
        loudest = torch.where(
            torch.from_numpy(alone).to(power.device), 10 ** (reference_db / 10), power.sum(dim=2).amax(dim=1)
        )
        starts = rng.integers(0, len(self.noise), size=(len(plans), 1))
        rows = (starts + np.arange(self.n_frames)[None, :]) % len(self.noise)
        return power + noise * self.noise[torch.from_numpy(rows).to(power.device)] * loudest[:, None, None]

    def _states(self, plans: list[Plan]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        # an odd clip's last output frame has one log-mel frame, as in the network
        n_frames, n_events = -(-self.n_frames // 2), len(self.event_index)
        state = np.zeros((len(plans), n_frames, n_events), dtype=np.uint8)
        present = np.zeros((len(plans), n_events), dtype=np.bool_)
        unsure = np.zeros((len(plans), n_events), dtype=np.bool_)
        for clip, plan in enumerate(plans):
            loudest = max((part.level_db for part in plan.parts), default=0.0)
            for part in plan.parts:
                recording = self.bank.recordings[part.recording]
                unsure[clip] |= self.bank.unsure[part.recording]
                if recording.event is None:
                    continue
                column = self.event_index[recording.event]
                heard = part.level_db >= loudest - 20
                found = np.full(2 * n_frames, INACTIVE, dtype=np.uint8)
                found[part.start : part.start + part.length] = self.bank.state[self._rows(part)]
                paired = found.reshape(n_frames, 2).max(axis=1)
                if not heard:
                    paired = np.minimum(paired, UNKNOWN)
                state[clip, :, column] = np.maximum(state[clip, :, column], paired)
                present[clip, column] |= heard and bool((paired != INACTIVE).any())
                unsure[clip, column] |= not heard
            state[clip] = np.where(unsure[clip][None, :] & (state[clip] == INACTIVE), UNKNOWN, state[clip])
        return tuple(torch.from_numpy(array).to(self.device) for array in (state, present, unsure))  # type: ignore[return-value]


def _add_share(
    target: npt.NDArray[np.float32],
    label: int,
    share: float,
    *,
    heard: npt.NDArray[np.float32] | None,
    heard_share: float,
) -> None:
    """Add a part's share of its clip: to its label, and ``heard_share`` of it to what the teacher hears, if it does."""
    if heard is None or not heard.any():
        heard_share = 0.0
    else:
        target += share * heard_share * heard
    target[label] += share * (1 - heard_share)
