"""Recordings that never trained a model, as they are and mixed into scenes and soundscapes."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from compactcli.audio import Waveform, read_audio
from compactcli.bank import LogMelBank, load_bank
from compactcli.datasets import Recording, read_corpus
from compactcli.errors import ManifestError
from compactcli.noise import steady_noises
from compactcli.plans import Planner
from compactcli.recipe import MixConfig, Recipe
from compactcli.soundscapes import Soundscape, WaveformMixer

SCENE_CLIP_S = 10.0
SOUNDSCAPE_S = 10.0
SIMULATED_PER_SCENE = 30
NOISE_S = 10.0
NOISES_OF_A_KIND = 3
# of the noise, soundscapes and simulated scenes, whatever a model was trained with
SEED = 1


@dataclass(frozen=True, kw_only=True, eq=False)
class SceneRecording:
    """A recording, or a simulated scene, with its scene.

    Args:
        scene: True scene.
        waveform: Samples at the recipe's sample rate.
        clips: The same in clips of 10 s, a rest left out; itself where it is shorter than two of them.
    """

    scene: str
    waveform: Waveform
    clips: tuple[Waveform, ...]


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
        # mixed alike for every model of a split, however its training clips were
        alike = replace(recipe, mix=MixConfig())
        planner = Planner(self.bank, alike, split=split, clip_s=SOUNDSCAPE_S)
        self.mixer = WaveformMixer(planner, corpus)

    def check(self) -> None:
        """Refuse recordings that no soundscape can be made of, before anything long is done.

        Raises:
            ManifestError: There is no background, or no event with known times.
        """
        next(self.soundscapes(1))

    def waveform(self, recording: Recording) -> Waveform:
        """Samples of a recording."""
        return read_audio(self.corpus / recording.path, sample_rate=self.recipe.features.sample_rate)

    def scenes(self) -> Iterator[SceneRecording]:
        """Every recording that is a scene, then simulated scenes."""
        length = round(SCENE_CLIP_S * self.recipe.features.sample_rate)
        for recording in self.recordings:
            if recording.scene is None:
                continue
            waveform = self.waveform(recording)
            starts = range(0, len(waveform) - length + 1, length)
            clips = tuple(waveform[start : start + length] for start in starts) if len(starts) > 1 else (waveform,)
            yield SceneRecording(scene=recording.scene, waveform=waveform, clips=clips)
        rng = np.random.default_rng([SEED, 1])
        for name, scene in self.recipe.scenes.items():
            if scene.layers:
                for clip in self.mixer.scenes(rng, name, SIMULATED_PER_SCENE):
                    yield SceneRecording(scene=name, waveform=clip.waveform, clips=(clip.waveform,))

    def noises(self) -> Iterator[Waveform]:
        """Steady noise by itself, as of a recorder in a silent place: the same at every call."""
        rng = np.random.default_rng([SEED, 3])
        sample_rate = self.recipe.features.sample_rate
        n_samples = round(NOISE_S * sample_rate)
        return steady_noises(rng, n_samples=n_samples, sample_rate=sample_rate, n_of_a_kind=NOISES_OF_A_KIND)

    def soundscapes(self, n_clips: int) -> Iterator[Soundscape]:
        """The same soundscapes at every call."""
        return self.mixer.soundscapes(np.random.default_rng([SEED, 2]), n_clips)
