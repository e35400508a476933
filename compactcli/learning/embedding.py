"""A recording becomes an example: the mean of its frame embeddings, and a few of them that sound or do not."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from compactcli.audio import Waveform, open_audio
from compactcli.heads import Embedder
from compactcli.noise import steady_noises

# Frames that this much quieter than the loudest of a recording are not what it is about: the silence around a bark.
QUIETER_DB = 30.0
# Of all recordings together, so that a fit takes seconds; of each, since neighbours are nearly the same.
MAX_FRAMES, MOST_FRAMES_EACH, FEWEST_FRAMES_EACH = 10_000, 100, 4
NOISE_S = 4.0
SEED = 1


@dataclass(frozen=True, kw_only=True, eq=False)
class Example:
    """What one recording is to the network.

    Args:
        label: Its class; None where nothing sounds that has one.
        mean: Mean embedding of all its frames, shape ``(embedding_size,)``.
        frames: Embeddings of some of its frames, evenly spread, shape ``(n_frames, embedding_size)``.
        sounds: Whether those are loud enough to be what the recording is about, shape ``(n_frames,)``.
        duration_s: Seconds that were heard.
        damage: What is wrong with the recording where it was heard as far as it goes, or None.
    """

    label: str | None
    mean: npt.NDArray[np.float32]
    frames: npt.NDArray[np.float32]
    sounds: npt.NDArray[np.bool_]
    duration_s: float
    damage: str | None = None


def frames_each(n_recordings: int) -> int:
    """How many frames of each of so many recordings are kept."""
    return min(MOST_FRAMES_EACH, max(FEWEST_FRAMES_EACH, MAX_FRAMES // n_recordings))


def hear_example(path: Path, embedder: Embedder, *, label: str, n_frames: int) -> Example:
    """Hear a recording of any length in flat memory.

    Args:
        path: The recording.
        embedder: See ``compactcli.heads.load_embedder``.
        label: Its class.
        n_frames: Frames to keep at most, at least half as many where the recording has them.

    Raises:
        AudioError: The recording cannot be heard.
    """
    with open_audio(path, sample_rate=embedder.config.features.sample_rate) as reader:
        mean, frames, sounds = _embed(reader, embedder, n_frames=n_frames)
    return Example(
        label=label, mean=mean, frames=frames, sounds=sounds, duration_s=reader.decoded_s, damage=reader.damage
    )


def hear_noise(embedder: Embedder, *, n_frames: int) -> list[Example]:
    """Silence, and noise of several colours and levels: what sounds where nothing does.

    Args:
        embedder: See ``compactcli.heads.load_embedder``.
        n_frames: Frames to keep of each.
    """
    rng = np.random.default_rng(SEED)
    sample_rate = embedder.config.features.sample_rate
    n_samples = round(NOISE_S * sample_rate)
    silence = np.zeros(n_samples, dtype=np.float32)
    examples = []
    for waveform in (silence, *steady_noises(rng, n_samples=n_samples, sample_rate=sample_rate)):
        mean, frames, sounds = _embed([waveform], embedder, n_frames=n_frames)
        examples.append(Example(label=None, mean=mean, frames=frames, sounds=sounds, duration_s=NOISE_S))
    return examples


def _embed(
    blocks: Iterable[Waveform], embedder: Embedder, *, n_frames: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    config = embedder.config
    powers: list[float] = []
    kept: list[npt.NDArray[np.float32]] = []
    total, n_heard, stride = np.zeros(config.network.embedding_size), 0, 1
    for embeddings in embedder.stream(_noting_powers(blocks, config.clock.frame_length, powers)):
        total += embeddings.sum(axis=0, dtype=np.float64)
        kept.extend(embeddings[-n_heard % stride :: stride])
        n_heard += len(embeddings)
        while len(kept) > n_frames:
            kept, stride = kept[::2], 2 * stride
    levels_db = 10 * np.log10(np.maximum(powers, 1e-20))[:n_heard]
    floor_db = max(levels_db.max() - QUIETER_DB, config.features.floor_db)
    return (total / n_heard).astype(np.float32), np.stack(kept), levels_db[::stride] >= floor_db


def _noting_powers(blocks: Iterable[Waveform], length: int, powers: list[float]) -> Iterator[Waveform]:
    """The blocks; the power of each frame is added to ``powers`` on the way, the last one of what there is.

    Around its mean: nobody hears the offset that some recorders add.
    """
    rest = np.zeros(0, dtype=np.float32)
    for block in blocks:
        joined = np.concatenate([rest, block])
        whole = len(joined) // length * length
        powers.extend(joined[:whole].reshape(-1, length).var(axis=1, dtype=np.float64).tolist())
        rest = joined[whole:]
        yield block
    if len(rest):
        powers.append(float(rest.var(dtype=np.float64)))
