"""One recording of any length becomes vectors: what the network makes of it, before its heads decide what that is."""

import itertools
import os
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from compactcli import heads
from compactcli.audio import Waveform, open_audio
from compactcli.checkpoint import DEFAULT_MODEL, find_model
from compactcli.errors import AudioError, require
from compactcli.heads import Embedder
from compactcli.inference.listening import PLAINLY, Hearing, Listening, record_of
from compactcli.inference.planning import LONGEST_STRETCH_S, check_every, check_part
from compactcli.inference.stretches import StartsAndMeans, StretchMeans, stretch_stops
from compactcli.records import Record, Vector


def load_embedder(model: str | os.PathLike[str] | None = None, *, device: str = "auto") -> Embedder:
    """What ``embed_recording`` needs of a model.

    Args:
        model: Name of an installed model or a model folder; None takes the default model.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        ModelError: There is no such model, or its folder is incomplete or altered.
        DeviceError: There is no such device.
    """
    return heads.load_embedder(find_model(DEFAULT_MODEL if model is None else os.fspath(model)), device=device)


def embed_recording(
    path: str | Path, embedder: Embedder, *, every_s: float | None = None, listening: Listening = PLAINLY
) -> Record:
    """Embed a recording.

    Args:
        path: The recording; see ``open_audio`` for the formats.
        embedder: What ``load_embedder`` gave.
        every_s: Seconds of the stretches that have a vector each, at least 1; None gives the whole one.
        listening: Limits, and who is told how far it is.

    Returns:
        Record with the mean embedding of each stretch; its status is ``partial`` when the recording is damaged and
        what decoded was embedded.

    Raises:
        AudioError: The recording cannot be heard at all.
        ConfigError: ``every_s`` is less than 1.
    """
    check_every(every_s)
    sample_rate = embedder.config.features.sample_rate
    with open_audio(path, sample_rate=sample_rate, limits=listening.limits, name=listening.name) as reader:
        means = embed_blocks(reader, embedder, every_s=every_s, listening=listening, promised_s=reader.info.duration_s)
    return replace(record_of(reader, embedder.config), vectors=as_vectors(means, reader.decoded_s))


def embed_part(
    path: str | Path,
    embedder: Embedder,
    *,
    start_s: float = 0.0,
    stop_s: float | None = None,
    listening: Listening = PLAINLY,
) -> Record:
    """Embed a part of a recording by itself: what is around it is not heard, as it would not be in a clip.

    Args:
        path: The recording; see ``open_audio`` for the formats.
        embedder: What ``load_embedder`` gave.
        start_s: Seconds from the start of the recording.
        stop_s: Seconds, after ``start_s``; None, and what lies behind its end, stand for the end. What comes later is
            not read.
        listening: Limits, and who is told how far it is.

    Returns:
        Record with one vector; its status is ``partial`` when the recording is damaged before ``stop_s``.

    Raises:
        AudioError: The recording cannot be heard at all, or ends before the part begins.
        ConfigError: There can be no such part, or it is shorter than a sample.
    """
    check_part(start_s, stop_s)
    sample_rate = embedder.config.features.sample_rate
    first, last = round(start_s * sample_rate), None if stop_s is None else round(stop_s * sample_rate)
    require(last is None or first < last, f"the part from {start_s} to {stop_s} s has no sample at {sample_rate} Hz")
    with open_audio(path, sample_rate=sample_rate, limits=listening.limits, name=listening.name) as reader:
        blocks = _between(reader, first, last)
        begin = next(blocks, None)
        if begin is None:
            raise AudioError(
                f"{reader.info.path} ends at {reader.decoded_s:.2f} s, expected more after {start_s:g} s",
                hint="choose a part that begins earlier",
                code="too-short",
            )
        means = embed_blocks(itertools.chain([begin], blocks), embedder, every_s=None, listening=listening)
    end_s = reader.decoded_s if stop_s is None else min(stop_s, reader.decoded_s)
    [(_, mean)] = means
    vector = Vector(start=start_s, stop=end_s, values=array("f", mean.tolist()))
    return replace(record_of(reader, embedder.config), vectors=(vector,))


def _between(blocks: Iterable[Waveform], first: int, last: int | None) -> Iterator[Waveform]:
    """Samples from ``first`` to before ``last``; of the blocks behind them, none is asked for."""
    position = 0
    for block in blocks:
        piece = block[max(0, first - position) : None if last is None else max(0, last - position)]
        position += len(block)
        if len(piece):
            yield piece
        if last is not None and position >= last:
            return


def embed_blocks(
    blocks: Iterable[Waveform],
    embedder: Embedder,
    *,
    every_s: float | None,
    listening: Listening = PLAINLY,
    promised_s: float | None = None,
) -> StartsAndMeans:
    """Start in seconds and mean embedding of each stretch.

    Args:
        blocks: Consecutive mono pieces at the model's sample rate, at least one sample in all.
        embedder: What ``load_embedder`` gave.
        every_s: Seconds of the stretches; None gives the whole one.
        listening: The gain, and who is told how far it is.
        promised_s: Seconds in all as the header says, or None where it does not know.
    """
    means = StretchMeans(LONGEST_STRETCH_S if every_s is None else every_s, embedder.config.clock)
    hearing = Hearing(blocks, embedder.engine, listening=listening, promised_s=promised_s)
    with hearing.timed():
        for chunk in hearing:
            means.push(chunk.events)
    return means.finish(hearing.n_samples)


def as_vectors(means: StartsAndMeans, duration_s: float) -> tuple[Vector, ...]:
    """Stretches as a record has them; the last one ends with the recording."""
    stops = stretch_stops([start for start, _ in means], duration_s)
    return tuple(
        Vector(start=start, stop=stop, values=array("f", mean.tolist()))
        for (start, mean), stop in zip(means, stops, strict=True)
    )
