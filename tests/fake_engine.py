"""An engine whose answers follow from the level of the samples, for tests of everything around the network."""

from dataclasses import dataclass, replace

import numpy as np

from compactcli.config import DetectionConfig, ModelConfig
from compactcli.heads import Embedder

CONFIG = ModelConfig(
    name="fake",
    version="1",
    scenes=("silence", "hum", "din"),
    events=("loud", "faint", "any"),
    detection=DetectionConfig(threshold=0.5, median_s=0.0, max_gap_s=0.0, min_duration_s=0.0),
)
SURE = 4.0  # logit; its probability is 0.982


@dataclass(frozen=True, kw_only=True, eq=False)
class FakeChunk:
    scenes: np.ndarray
    events: np.ndarray


class FakeEngine:
    """Each output frame of 640 samples is judged by its peak: at least 0.25 is loud, at least 0.01 faint.

    The scenes are silence, hum (faint) and din (loud); frames are given out ``frames_per_chunk`` at a time.
    """

    name = "fake"

    def __init__(self, *, config=CONFIG, device="cpu", frames_per_chunk=50):
        self.config = config
        self.device = device
        self.frames_per_chunk = frames_per_chunk
        self.longest_wait = 0

    def stream(self, blocks):
        length = self.config.clock.frame_length
        waiting = np.zeros(0, np.float32)
        for block in blocks:
            assert block.dtype == np.float32
            assert block.ndim == 1
            waiting = np.concatenate([waiting, block])
            self.longest_wait = max(self.longest_wait, len(waiting))
            while len(waiting) >= length * self.frames_per_chunk:
                yield self._chunk(waiting[: length * self.frames_per_chunk])
                waiting = waiting[length * self.frames_per_chunk :]
        if len(waiting):
            yield self._chunk(waiting)

    def _chunk(self, waveform):
        length = self.config.clock.frame_length
        n_frames = -(-len(waveform) // length)
        padded = np.zeros(n_frames * length, np.float32)
        padded[: len(waveform)] = np.abs(waveform)
        peak = padded.reshape(n_frames, length).max(axis=1)
        loud, faint = peak >= 0.25, (peak >= 0.01) & (peak < 0.25)
        return FakeChunk(
            scenes=np.stack([np.where(on, SURE, 0.0) for on in (~loud & ~faint, faint, loud)], axis=1).astype(
                np.float32
            ),
            events=np.stack([np.where(on, SURE, -SURE) for on in (loud, faint, loud | faint)], axis=1).astype(
                np.float32
            ),
        )


def fake_embedder(**settings):
    """Takes the event logits of the fake engine for embeddings."""
    engine = FakeEngine(**settings)
    return Embedder(engine=engine, config=engine.config)


def with_detection(**settings):
    return replace(CONFIG, detection=replace(CONFIG.detection, **settings))


@dataclass(frozen=True, kw_only=True)
class FakeTask:
    """What ``compactcli.cli.work.Task`` does, with the fake engine; worker processes find it here."""

    def load(self):
        from compactcli.audio import AudioLimits
        from compactcli.cli.work import Analyst, ModelFacts
        from compactcli.inference import classify_recording

        facts = ModelFacts(name="fake", version="1", sha256={}, device="cpu", engine="fake", settings={})
        return Analyst(
            facts=facts,
            analyse=lambda path, listening: classify_recording(path, FakeEngine(), listening=listening),
            limits=AudioLimits(),
        )
