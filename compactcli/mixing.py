"""Recordings are mixed into labelled training clips.

A `Plan` lists which piece of which recording sounds when and how loud; `Mixer.render` adds their
mel powers and derives every target from the same plan. Adding powers leaves out the cross terms of
adding waveforms, which average to zero over a band and frame; evaluation mixes waveforms.
"""

from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch

from compactcli.augment import band_gains_db, mask, mel_centres_hz, noise_power_db
from compactcli.bank import ACTIVE, INACTIVE, UNKNOWN, LogMelBank
from compactcli.datasets import Recording
from compactcli.recipe import Recipe, SceneConfig

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Part:
    """One piece of a recording inside a clip.

    Args:
        recording: Index in the bank.
        source_start: First log-mel frame of the piece in the recording.
        start: Where the piece starts in the clip, in log-mel frames.
        length: Log-mel frames it lasts in the clip.
        level_db: Level relative to the clip's reference.
        stretch: Source frames per clip frame; above 1 the piece is faster than its recording.
        loop: Whether it wraps around at the recording's end.
    """

    recording: int
    source_start: int
    start: int
    length: int
    level_db: float
    stretch: float = 1.0
    loop: bool = False


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What one clip is made of.

    Args:
        parts: Pieces that sound.
        scene: Scene class, or None where the clip has none or it follows from the parts.
        kind: ``clip``, ``soundscape`` or ``scene``.
    """

    parts: tuple[Part, ...]
    kind: str
    scene: str | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """Training clips with their targets; every tensor's first axis is the clip.

    Args:
        log_mel: dB, ``(batch, n_mels, n_frames)``.
        frames: Event activity per output frame, ``(batch, n_output_frames, n_events)``.
        known: Where ``frames`` counts.
        tags: Share of each event class, ``(batch, n_events)``; zero rows teach nothing.
        present: Whether a class sounds at all, ``(batch, n_events)``.
        present_known: Where ``present`` counts.
        scenes: Share of each scene, ``(batch, n_scenes)``; zero rows teach nothing.
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


@dataclass
class _Pools:
    by_event: dict[str, list[int]] = field(default_factory=dict)
    by_scene: dict[str, list[int]] = field(default_factory=dict)
    by_key: dict[str, list[int]] = field(default_factory=dict)
    cuttable: dict[str, list[int]] = field(default_factory=dict)
    beds: list[int] = field(default_factory=list)


class Mixer:
    """Draws and renders training clips from one side of the split.

    Args:
        bank: Log-mels of the recordings.
        recipe: Classes and mixing ranges.
        split: Which recordings may be used.
        curves: Microphone responses in dB, ``(n_responses, n_mels)``.
        device: Where tensors are made.
        augment: Whether to stretch, shift, filter, add noise and mask.
    """

    def __init__(
        self,
        bank: LogMelBank,
        recipe: Recipe,
        *,
        split: str,
        curves: npt.NDArray[np.float32],
        device: torch.device,
        augment: bool,
    ) -> None:
        self.augment = augment
        self.bank, self.recipe, self.curves, self.device = bank, recipe, curves, device
        self.frame_rate = recipe.features.clock.frame_rate
        self.n_frames = round(recipe.mix.clip_s * self.frame_rate)
        self.centres_hz = mel_centres_hz(recipe.features)
        self.scene_index = {name: index for index, name in enumerate(recipe.scenes)}
        self.event_index = {name: index for index, name in enumerate(recipe.events.classes)}
        self.pools = _pools(bank, recipe, split)
        self.frames = torch.from_numpy(bank.frames).to(device)
        self.state = torch.from_numpy(bank.state).to(device)
        events = sorted(self.pools.by_event)
        counts = np.array([len(self.pools.by_event[name]) for name in events], dtype=np.float64)
        # between uniform over classes and uniform over recordings, nearer to the former
        self.event_names, self.event_weights = events, counts**0.3 / (counts**0.3).sum()

    # ------------------------------------------------------------------ drawing
    def draw(self, rng: np.random.Generator) -> Plan:
        """One random clip."""
        mix = self.recipe.mix
        weights = np.array([mix.event_clips, mix.scene_clips, mix.soundscapes, mix.simulated_scenes])
        kind = rng.choice(4, p=weights / weights.sum())
        if kind == 2:
            return self.draw_soundscape(rng)
        if kind == 3:
            return self.draw_scene(rng)
        if kind == 0:
            name = self.event_names[rng.choice(len(self.event_names), p=self.event_weights)]
            pool = self.pools.by_event[name]
        else:
            pool = self.pools.by_scene[_pick(rng, sorted(self.pools.by_scene))]
        parts = [self.place(rng, _pick_fairly(rng, pool, self.bank.recordings), 0.0)]
        if rng.random() < mix.mixup_probability:
            second = self.pools.by_event[self.event_names[rng.choice(len(self.event_names), p=self.event_weights)]]
            parts.append(self.place(rng, _pick_fairly(rng, second, self.bank.recordings), rng.uniform(*mix.mixup_db)))
        return Plan(parts=tuple(parts), kind="clip")

    def _stretch(self, rng: np.random.Generator) -> float:
        return float(np.exp(rng.uniform(-1, 1) * np.log(self.recipe.mix.stretch))) if self.augment else 1.0

    def place(self, rng: np.random.Generator, recording: int, level_db: float) -> Part:
        """A recording by itself: a random excerpt of a long one, a short one at a random time."""
        stretch = self._stretch(rng)
        length = int(self.bank.length[recording])
        n_frames = min(max(1, int(length / stretch)), self.n_frames)
        return Part(
            recording=recording,
            source_start=int(rng.integers(0, max(0, length - int(n_frames * stretch)) + 1)),
            start=int(rng.integers(0, self.n_frames - n_frames + 1)),
            length=n_frames,
            level_db=level_db,
            stretch=stretch,
        )

    def bed(self, rng: np.random.Generator, recording: int, level_db: float) -> Part:
        """A recording that fills the clip, looped if it is shorter."""
        return Part(
            recording=recording,
            source_start=int(rng.integers(0, max(1, self.bank.length[recording] - self.n_frames + 1))),
            start=0,
            length=self.n_frames,
            level_db=level_db,
            stretch=self._stretch(rng),
            loop=True,
        )

    def cut(self, rng: np.random.Generator, recording: int, level_db: float) -> Part:
        """One event of a recording, whole if it is bounded, a random piece if it is continuous."""
        stretch = self._stretch(rng)
        first, last = self.bank.cuts[recording][rng.integers(len(self.bank.cuts[recording]))]
        n_frames = min(max(1, int((last - first) / stretch)), self.n_frames)
        if self.bank.recordings[recording].event in self.recipe.events.continuous and n_frames > self.frame_rate:
            n_frames = int(rng.integers(round(0.4 * self.frame_rate), n_frames + 1))
            first += int(rng.integers(0, max(0, last - first - int(n_frames * stretch)) + 1))
        return Part(
            recording=recording,
            source_start=first,
            start=int(rng.integers(0, self.n_frames - n_frames + 1)),
            length=n_frames,
            level_db=level_db,
            stretch=stretch,
        )

    def draw_soundscape(self, rng: np.random.Generator) -> Plan:
        """Events with known times over a background."""
        mix = self.recipe.mix
        parts = [self.bed(rng, _pick(rng, self.pools.beds), 0.0)] if rng.random() < 0.9 else []
        names = sorted(self.pools.cuttable)
        for _ in range(rng.integers(mix.events_per_soundscape[0], mix.events_per_soundscape[1] + 1)):
            recording = _pick(rng, self.pools.cuttable[_pick(rng, names)])
            parts.append(self.cut(rng, recording, rng.uniform(*mix.event_level_db)))
        return Plan(parts=tuple(parts), kind="soundscape", scene=self._soundscape_scene(parts))

    def _soundscape_scene(self, parts: list[Part]) -> str | None:
        scenes = [self.bank.recordings[part.recording].scene for part in parts]
        if not parts or not parts[0].loop or any(scene not in (None, scenes[0]) for scene in scenes[1:]):
            return None
        return scenes[0]

    def draw_scene(self, rng: np.random.Generator) -> Plan:
        """A layered scene of the recipe."""
        layered = [name for name, scene in self.recipe.scenes.items() if scene.layers]
        if not layered:
            return self.draw_soundscape(rng)
        name = _pick(rng, layered)
        return Plan(parts=tuple(self.layers(rng, self.recipe.scenes[name])), kind="scene", scene=name)

    def layers(self, rng: np.random.Generator, scene: SceneConfig) -> list[Part]:
        """Pieces of a simulated scene; layers without a recording on this side of the split are left out."""
        parts = []
        for layer in scene.layers:
            pool = [label for label in layer.labels if label in self.pools.by_key]
            if not pool or rng.random() >= layer.probability:
                continue
            for _ in range(rng.integers(layer.copies[0], layer.copies[1] + 1)):
                recording = _pick(rng, self.pools.by_key[_pick(rng, pool)])
                level = rng.uniform(*layer.level_db)
                parts.append(self.bed(rng, recording, level) if layer.whole else self.place(rng, recording, level))
        return parts

    # ------------------------------------------------------------------ rendering
    def batch(self, rng: np.random.Generator, n_clips: int) -> Batch:
        """Draw and render ``n_clips`` clips."""
        return self.render([self.draw(rng) for _ in range(n_clips)], rng)

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
        teacher = self.bank.teacher
        probabilities = np.zeros((len(plans), teacher.probabilities.shape[1]), dtype=np.float32)
        embeddings = np.zeros((len(plans), teacher.embeddings.shape[1]), dtype=np.float32)
        taught = np.zeros(len(plans), dtype=np.float32)
        for clip, plan in enumerate(plans):
            if plan.scene is not None:
                scenes[clip, self.scene_index[plan.scene]] = 1
            if plan.kind != "clip":
                continue
            amplitudes = np.array([10 ** (part.level_db / 20) for part in plan.parts])
            for part, share in zip(plan.parts, amplitudes / amplitudes.sum(), strict=True):
                recording = self.bank.recordings[part.recording]
                if recording.scene is not None:
                    scenes[clip, self.scene_index[recording.scene]] += share
                if recording.event is not None:
                    tags[clip, self.event_index[recording.event]] += share
                window = self._teacher_window(part)
                if window >= 0:
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

    def _teacher_window(self, part: Part) -> int:
        teacher = self.bank.teacher
        if teacher.count[part.recording] == 0:
            return -1
        middle_s = (part.source_start + part.length / 2) / self.frame_rate
        nearest = int(np.clip(round(middle_s / teacher.window_s - 0.5), 0, teacher.count[part.recording] - 1))
        return int(teacher.first[part.recording]) + nearest

    def _rows(self, part: Part) -> npt.NDArray[np.int64]:
        length = int(self.bank.length[part.recording])
        offsets = part.source_start + np.floor(np.arange(part.length) * part.stretch).astype(np.int64)
        offsets = offsets % length if part.loop else np.minimum(offsets, length - 1)
        return self.bank.start[part.recording] + offsets

    def _log_mels(self, plans: list[Plan], rng: np.random.Generator) -> torch.Tensor:
        mix, features = self.recipe.mix, self.recipe.features
        clip_of = np.concatenate([np.full(len(plan.parts), clip) for clip, plan in enumerate(plans)]).astype(np.int64)
        parts = [part for plan in plans for part in plan.parts]
        rows = np.zeros((len(parts), self.n_frames), dtype=np.int64)
        gain = np.full((len(parts), self.n_frames), -400.0, dtype=np.float32)
        bands = np.tile(np.arange(features.n_mels), (len(parts), 1))
        reference = {}
        for index, part in enumerate(parts):
            # a lone recording keeps its own level; what joins it is set relative to the first
            reference.setdefault(clip_of[index], self.bank.level_db[part.recording] if part.level_db == 0.0 else -30.0)
            sounding = slice(part.start, part.start + part.length)
            rows[index, sounding] = self._rows(part)
            level = reference[clip_of[index]] + part.level_db - self.bank.level_db[part.recording]
            gain[index, sounding] = level
            if self.augment and mix.shift_bands:
                bands[index] += rng.integers(-mix.shift_bands, mix.shift_bands + 1)
        bands = np.clip(bands, 0, features.n_mels - 1)
        log_mel = self.frames[torch.from_numpy(rows).to(self.device)].float()  # (n_parts, n_frames, n_mels)
        columns = torch.from_numpy(bands).to(self.device)[:, None, :].expand_as(log_mel)
        log_mel = log_mel.gather(2, columns) + torch.from_numpy(gain).to(self.device)[:, :, None]
        power = torch.zeros(len(plans), self.n_frames, features.n_mels, device=self.device)
        power.index_add_(0, torch.from_numpy(clip_of).to(self.device), torch.exp(log_mel * (np.log(10) / 10)))
        if self.augment:
            power = self._add_noise(power, rng)
            gains = band_gains_db(rng, len(plans), mix, self.curves, self.centres_hz)
            power = power * torch.from_numpy(10 ** (gains / 10)).to(self.device)[:, None, :]
        mixed = 10 * torch.log10(power + 10 ** (features.floor_db / 10)).transpose(1, 2)
        if self.augment:
            mixed = mask(rng, mixed, mix, frame_rate=self.frame_rate, floor_db=features.floor_db)
        return mixed.contiguous()

    def _add_noise(self, power: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
        shape_db = noise_power_db(rng, len(power), self.recipe.mix, self.centres_hz)
        noise = torch.from_numpy(10 ** (shape_db / 10)).to(power.device)[:, None, :]
        loudest = power.sum(dim=2).amax(dim=1)[:, None, None]
        # the power of noise in one band and frame is roughly exponentially distributed around its mean
        spread = torch.from_numpy(rng.exponential(size=tuple(power.shape)).astype(np.float32)).to(power.device)
        return power + noise * spread * loudest

    def _states(self, plans: list[Plan]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        n_frames, n_events = self.n_frames // 2, len(self.event_index)
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
                found = np.full(self.n_frames, INACTIVE, dtype=np.uint8)
                found[part.start : part.start + part.length] = self.bank.state[self._rows(part)]
                paired = found[: 2 * n_frames].reshape(n_frames, 2).max(axis=1)
                if not heard:
                    paired = np.minimum(paired, UNKNOWN)
                state[clip, :, column] = np.maximum(state[clip, :, column], paired)
                present[clip, column] |= heard and bool((paired != INACTIVE).any())
                unsure[clip, column] |= not heard
            state[clip] = np.where(unsure[clip][None, :] & (state[clip] == INACTIVE), UNKNOWN, state[clip])
        return tuple(torch.from_numpy(array).to(self.device) for array in (state, present, unsure))  # type: ignore[return-value]


def _pick(rng: np.random.Generator, items: list[T]) -> T:
    return items[int(rng.integers(len(items)))]


def _pick_fairly(rng: np.random.Generator, pool: list[int], recordings: tuple[Recording, ...]) -> int:
    # a folder's chance grows with the root of its size, so that 120 clips of one app do not drown 30 of ESC-50
    folders: dict[str, list[int]] = {}
    for index in pool:
        folders.setdefault(recordings[index].folder, []).append(index)
    names = sorted(folders)
    weights = np.sqrt([len(folders[name]) for name in names])
    return _pick(rng, folders[names[rng.choice(len(names), p=weights / weights.sum())]])


def _pools(bank: LogMelBank, recipe: Recipe, split: str) -> _Pools:
    pools = _Pools()
    for index, recording in enumerate(bank.recordings):
        if recording.split != split:
            continue
        pools.by_key.setdefault(recording.key, []).append(index)
        if recording.event is not None:
            pools.by_event.setdefault(recording.event, []).append(index)
            if bank.cuts[index]:
                pools.cuttable.setdefault(recording.event, []).append(index)
        if recording.scene is not None:
            pools.by_scene.setdefault(recording.scene, []).append(index)
        steady = recording.event is None or recording.event in recipe.events.continuous
        if recording.folder == "ambience" or (recording.scene is not None and steady):
            pools.beds.append(index)
    return pools
