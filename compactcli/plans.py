"""What a clip is made of: random plans of which piece of which recording sounds when and how loud."""

from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from compactcli.bank import LogMelBank
from compactcli.datasets import Recording
from compactcli.errors import ManifestError
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
        parts: Pieces that sound; none in noise alone.
        scene: Scene class, or None where the clip has none or it follows from the parts.
        kind: ``clip``, ``soundscape``, ``scene`` or ``noise``.
    """

    parts: tuple[Part, ...]
    kind: str
    scene: str | None = None


@dataclass
class _Pools:
    by_event: dict[str, list[int]] = field(default_factory=dict)
    by_scene: dict[str, list[int]] = field(default_factory=dict)
    by_key: dict[str, list[int]] = field(default_factory=dict)
    cuttable: dict[str, list[int]] = field(default_factory=dict)
    beds: list[int] = field(default_factory=list)


class Planner:
    """Draws plans of clips from one side of the split.

    Args:
        bank: Recordings with their lengths and cuttable events.
        recipe: Classes and mixing ranges.
        split: Which recordings may be used.
        clip_s: Length of a clip in seconds.
        stretch: Largest change of speed, as a factor; 1 keeps every recording as it is.

    Raises:
        ManifestError: While drawing: this side of the split has no recording for what the clip needs.
    """

    def __init__(self, bank: LogMelBank, recipe: Recipe, *, split: str, clip_s: float, stretch: float = 1.0) -> None:
        self.bank, self.recipe, self.stretch = bank, recipe, stretch
        self.frame_rate = recipe.features.clock.frame_rate
        self.n_frames = round(clip_s * self.frame_rate)
        self.pools = _pools(bank, recipe, split)
        self.event_names = sorted(self.pools.by_event)
        counts = np.array([len(self.pools.by_event[name]) for name in self.event_names], dtype=np.float64)
        # between uniform over classes and uniform over recordings, nearer to the former
        self.event_weights = counts**0.3 / (counts**0.3).sum()

    def draw(self, rng: np.random.Generator) -> Plan:
        """One random clip."""
        mix = self.recipe.mix
        weights = np.array([mix.event_clips, mix.scene_clips, mix.soundscapes, mix.simulated_scenes, mix.noise_clips])
        kind = rng.choice(len(weights), p=weights / weights.sum())
        if kind == 2:
            return self.draw_soundscape(rng)
        if kind == 3:
            return self.draw_scene(rng)
        if kind == 4:
            return Plan(parts=(), kind="noise")
        pool = self._event_pool(rng) if kind == 0 else self.pools.by_scene[_pick(rng, sorted(self.pools.by_scene))]
        parts = [self.place(rng, self._recording(rng, pool), 0.0)]
        if rng.random() < mix.mixup_probability:
            second = self._recording(rng, self._event_pool(rng))
            parts.append(self.place(rng, second, rng.uniform(*mix.mixup_db)))
        return Plan(parts=tuple(parts), kind="clip")

    def reference_db(self, plan: Plan) -> float:
        """Level in dB that the parts' levels are relative to.

        A first part at 0 dB keeps its own level, so a lone recording stays as it is; otherwise it is -30 dB.
        """
        if plan.parts and plan.parts[0].level_db == 0.0:
            return float(self.bank.level_db[plan.parts[0].recording])
        return -30.0

    def _event_pool(self, rng: np.random.Generator) -> list[int]:
        _refuse_empty(self.event_names)
        return self.pools.by_event[self.event_names[rng.choice(len(self.event_names), p=self.event_weights)]]

    def _recording(self, rng: np.random.Generator, pool: list[int]) -> int:
        return _pick_fairly(rng, pool, self.bank.recordings, by_source=self.recipe.mix.by_source)

    def _piece(self, rng: np.random.Generator, pool: list[int]) -> int:
        """A recording for a soundscape or a layered scene."""
        return self._recording(rng, pool) if self.recipe.mix.by_source else _pick(rng, pool)

    def _stretch(self, rng: np.random.Generator) -> float:
        return float(np.exp(rng.uniform(-1, 1) * np.log(self.stretch))) if self.stretch != 1 else 1.0

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

    def beginning(self, recording: int) -> Part:
        """A recording by itself from its beginning, as it is."""
        length = min(int(self.bank.length[recording]), self.n_frames)
        return Part(recording=recording, source_start=0, start=0, length=length, level_db=0.0)

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
        parts = [self.bed(rng, self._piece(rng, self.pools.beds), 0.0)] if rng.random() < 0.9 else []
        names = sorted(self.pools.cuttable)
        for _ in range(rng.integers(mix.events_per_soundscape[0], mix.events_per_soundscape[1] + 1)):
            recording = self._piece(rng, self.pools.cuttable[_pick(rng, names)])
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
                recording = self._piece(rng, self.pools.by_key[_pick(rng, pool)])
                level = rng.uniform(*layer.level_db)
                parts.append(self.bed(rng, recording, level) if layer.whole else self.place(rng, recording, level))
        return parts


def _refuse_empty(items: list[T]) -> None:
    if not items:
        raise ManifestError(
            "this side of the split has no recording for what a clip needs,"
            " expected events, scenes, events with known times and steady backgrounds",
            hint="hold less out, or set the weight of that kind of clip to 0 in the recipe's [mix]",
        )


def _pick(rng: np.random.Generator, items: list[T]) -> T:
    _refuse_empty(items)
    return items[int(rng.integers(len(items)))]


def _pick_fairly(
    rng: np.random.Generator, pool: list[int], recordings: tuple[Recording, ...], *, by_source: bool
) -> int:
    _refuse_empty(pool)
    # a folder's chance grows with the root of its size, so that 120 clips of one app do not drown 30 of ESC-50
    folders: dict[str, dict[str, list[int]]] = {}
    for index in pool:
        recording = recordings[index]
        group = recording.source if by_source else recording.file
        folders.setdefault(recording.folder, {}).setdefault(group, []).append(index)
    names = sorted(folders)
    weights = np.sqrt([len(folders[name]) for name in names])
    groups = folders[names[rng.choice(len(names), p=weights / weights.sum())]]
    group = _pick(rng, list(groups))
    return groups[group][0] if len(groups[group]) == 1 else _pick(rng, groups[group])


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
