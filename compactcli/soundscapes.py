"""Planned clips become waveforms with exact times: what evaluation and calibration listen to.

The plans are drawn as for training; here the waveforms themselves are added, sample by sample.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from compactcli.audio import read_audio
from compactcli.errors import ManifestError
from compactcli.events import Event, join_events
from compactcli.plans import Part, Plan, Planner

FADE_S = 0.005
# so many refused plans in a row mean that no background is clean
MOST_REFUSED = 2000


@dataclass(frozen=True, kw_only=True, eq=False)
class Soundscape:
    """A mixed recording with its truth.

    Args:
        waveform: Shape ``(n_samples,)``.
        events: Reference events; those of one class that overlap are joined.
        scene: Scene class or None.
        unsure: Event classes that may sound without being listed.
    """

    waveform: npt.NDArray[np.float32]
    events: tuple[Event, ...]
    scene: str | None
    unsure: frozenset[str]


class WaveformMixer:
    """Renders a planner's plans as waveforms.

    Args:
        planner: Draws the plans; made without stretching.
        corpus: Where its recordings are.
    """

    def __init__(self, planner: Planner, corpus: Path) -> None:
        self.planner = planner
        self.hop = planner.recipe.features.hop_length
        self.sample_rate = planner.recipe.features.sample_rate
        self.read = lru_cache(maxsize=256)(lambda path: read_audio(corpus / path, sample_rate=self.sample_rate))

    def soundscapes(self, rng: np.random.Generator, n_clips: int) -> Iterator[Soundscape]:
        """Random soundscapes whose background holds nothing that is not listed.

        Raises:
            ManifestError: Next to every plan holds something that is not listed.
        """
        made, refused = 0, 0
        while made < n_clips:
            plan = self.planner.draw_soundscape(rng)
            if self._is_clean(plan):
                made, refused = made + 1, 0
                yield self.render(plan)
            else:
                refused += 1
            if refused == MOST_REFUSED:
                raise ManifestError(f"{refused} soundscapes in a row held sounds without a label, expected clean ones")

    def scenes(self, rng: np.random.Generator, name: str, n_clips: int) -> Iterator[Soundscape]:
        """Random layered scenes of one class."""
        scene = self.planner.recipe.scenes[name]
        for _ in range(n_clips):
            parts = self.planner.layers(rng, scene)
            if parts:
                yield self.render(Plan(parts=tuple(parts), kind="scene", scene=name))

    def _is_clean(self, plan: Plan) -> bool:
        bank, recipe = self.planner.bank, self.planner.recipe
        for part in plan.parts:
            event = bank.recordings[part.recording].event
            if bank.unsure[part.recording].any() or (
                part.loop and event is not None and event not in recipe.events.continuous
            ):
                return False
        return True

    def render(self, plan: Plan) -> Soundscape:
        """Add the parts of a plan; the sum is scaled down where it would clip."""
        bank = self.planner.bank
        mixed = np.zeros(self.planner.n_frames * self.hop, dtype=np.float32)
        reference_db = self.planner.reference_db(plan)
        events: list[Event] = []
        unsure: set[str] = set()
        for part in plan.parts:
            recording = bank.recordings[part.recording]
            gain = 10 ** ((reference_db + part.level_db - bank.level_db[part.recording]) / 20)
            piece = self._piece(part) * np.float32(gain)
            start = part.start * self.hop
            mixed[start : start + len(piece)] += piece
            columns = np.flatnonzero(bank.unsure[part.recording])
            unsure |= {self.planner.recipe.events.classes[column] for column in columns}
            if recording.event is not None:
                onset, offset = start / self.sample_rate, (start + len(piece)) / self.sample_rate
                events.append(Event(onset=onset, offset=offset, label=recording.event))
        peak = float(np.abs(mixed).max())
        scale = np.float32(min(1.0, 0.99 / peak)) if peak > 0 else np.float32(1)
        return Soundscape(
            waveform=mixed * scale, events=tuple(join_events(events)), scene=plan.scene, unsure=frozenset(unsure)
        )

    def _piece(self, part: Part) -> npt.NDArray[np.float32]:
        waveform = self.read(self.planner.bank.recordings[part.recording].path)
        first, n_samples = part.source_start * self.hop, part.length * self.hop
        if part.loop:
            piece = np.take(waveform, np.arange(first, first + n_samples), mode="wrap")
        else:
            piece = waveform[first : first + n_samples].copy()
        fade = min(round(FADE_S * self.sample_rate), len(piece) // 2)
        ramp = np.linspace(0, 1, fade, dtype=np.float32)
        if fade:
            piece[:fade] *= ramp
            piece[-fade:] *= ramp[::-1]
        return piece
