"""Recordings that never trained a model, as they are and mixed into scenes and soundscapes."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from compactcli.audio import Waveform, read_audio
from compactcli.bank import LogMelBank, load_bank
from compactcli.datasets import Recording, read_corpus
from compactcli.errors import ManifestError
from compactcli.plans import Planner
from compactcli.recipe import Recipe
from compactcli.soundscapes import Soundscape, WaveformMixer

SCENE_CLIP_S = 10.0
SOUNDSCAPE_S = 10.0
SIMULATED_PER_SCENE = 30


@dataclass(frozen=True, kw_only=True, eq=False)
class SceneClip:
    """A clip with its scene.

    Args:
        scene: True scene.
        recording: What it was cut from; a simulated scene is a recording of its own.
        waveform: Samples at the recipe's sample rate.
    """

    scene: str
    recording: str
    waveform: Waveform


class HeldOut:
    """One side of the split, ready to be listened to.

    Args:
        corpus: Corpus folder.
        recipe: Classes and splits.
        split: ``test`` or ``validation``.
        cache: Folder for cached log-mels.
        loading: Called with recordings loaded and in all.

    Raises:
        ManifestError: The corpus has no recordings on this side.
    """

    def __init__(
        self,
        corpus: Path,
        recipe: Recipe,
        *,
        split: str,
        cache: Path,
        loading: Callable[[int, int], None] = lambda done, total: None,
    ) -> None:
        self.corpus, self.recipe, self.split = corpus, recipe, split
        self.recordings = [item for item in read_corpus(corpus, recipe) if item.split == split]
        if not self.recordings:
            raise ManifestError(f"corpus '{corpus}' has no {split} recordings under recipe '{recipe.name}'")
        self.bank: LogMelBank = load_bank(corpus, self.recordings, recipe, cache=cache, progress=loading)
        planner = Planner(self.bank, recipe, split=split, clip_s=SOUNDSCAPE_S)
        self.mixer = WaveformMixer(planner, corpus)

    def waveform(self, recording: Recording) -> Waveform:
        """Samples of a recording."""
        return read_audio(self.corpus / recording.path, sample_rate=self.recipe.features.sample_rate)

    def scene_clips(self) -> Iterator[SceneClip]:
        """Every recording that is a scene, long ones in clips, then simulated scenes."""
        length = round(SCENE_CLIP_S * self.recipe.features.sample_rate)
        for recording in self.recordings:
            if recording.scene is None:
                continue
            waveform = self.waveform(recording)
            n_clips = max(1, len(waveform) // length)
            for piece in range(n_clips):
                part = waveform[piece * length : (piece + 1) * length] if n_clips > 1 else waveform
                yield SceneClip(scene=recording.scene, recording=recording.path, waveform=part)
        rng = np.random.default_rng([self.recipe.seed, 1])
        for name, scene in self.recipe.scenes.items():
            if scene.layers:
                for number, clip in enumerate(self.mixer.scenes(rng, name, SIMULATED_PER_SCENE)):
                    yield SceneClip(scene=name, recording=f"simulated {name} {number}", waveform=clip.waveform)

    def soundscapes(self, n_clips: int) -> Iterator[Soundscape]:
        """The same soundscapes at every call."""
        return self.mixer.soundscapes(np.random.default_rng([self.recipe.seed, 2]), n_clips)
