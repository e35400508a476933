"""All stages of all programs in one run, so that they can be compared."""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from compactcli.audio import Waveform, read_audio
from compactcli.benchmark import peers as others
from compactcli.benchmark import stages as tasks
from compactcli.benchmark.report import Stage
from compactcli.benchmark.timing import Clock, Timing, measure
from compactcli.engine import StagedEngine

FLOORS = {
    tasks.DECODE: "the decoder alone",
    tasks.LOG_MEL: "numpy's FFT alone",
    tasks.END_TO_END: "the decoder alone",
}


def program_name(engine: StagedEngine) -> str:
    """What tables call an engine: ``compact onnx``, ``compact torch`` or ``compact torch bf16``."""
    return f"compact {engine.name}" if engine.precision == "fp32" else f"compact {engine.name} {engine.precision}"


def benchmark(
    paths: Sequence[Path],
    engine: StagedEngine,
    *,
    repeats: int,
    peer_engines: Sequence[StagedEngine] = (),
    peers: Mapping[str, others.Peer] | None = None,
    clock: Clock = time.perf_counter,
    on_round: Callable[[], None] = lambda: None,
) -> tuple[Stage, ...]:
    """Measure every stage on the same recordings, which stay in memory meanwhile.

    Args:
        paths: Recordings, at least one.
        engine: The engine that matters.
        repeats: Rounds that count, at least 1.
        peer_engines: Engines of other kinds, with the same model.
        peers: Other programs by name; they are left out where the model's rate is not theirs.
        clock: Seconds from any origin.
        on_round: Called after each round and once for the warm-up.

    Returns:
        The stages of ``engine``, then those of the peers.

    Raises:
        AudioError: A recording cannot be analysed.
    """
    features = engine.config.features
    materials = [tasks.prepare(path, engine) for path in paths]
    own = program_name(engine)
    floor_tasks = tasks.floor_tasks(materials, features)
    todo: dict[tuple[str, str], tasks.Task] = {("floor", name): task for name, task in floor_tasks.items()}
    own_tasks = {
        **tasks.reading_tasks(materials, sample_rate=features.sample_rate),
        **tasks.engine_tasks(materials, engine),
    }
    todo |= {(own, name): task for name, task in own_tasks.items()}
    for peer in peer_engines:
        peer_tasks = tasks.engine_tasks([tasks.prepare(path, peer) for path in paths], peer)
        # what comes after the logits is the same code
        del peer_tasks[tasks.POST_PROCESSING]
        todo |= {(program_name(peer), name): task for name, task in peer_tasks.items()}
    if peers and features.sample_rate == others.SAMPLE_RATE:
        waveforms = [read_audio(path, sample_rate=others.SAMPLE_RATE, allow_damage=True) for path in paths]
        for name, run in peers.items():
            todo[name, tasks.FEATURES_AND_NETWORK] = partial(_run_all, run, waveforms)
    timings = measure(todo, repeats=repeats, clock=clock, on_round=on_round)
    floors = {name: timing for (program, name), timing in timings.items() if program == "floor"}
    floors[tasks.END_TO_END] = floors[tasks.DECODE]
    if engine.device != "cpu":  # numpy's FFT says nothing about a GPU's
        del floors[tasks.LOG_MEL]
    resampled_s = sum(item.duration_s for item in materials if item.own_blocks)
    duration_s = sum(item.duration_s for item in materials)

    def stage(program: str, name: str, timing: Timing) -> Stage:
        floor_timing = floors.get(name)
        return Stage(
            program=program,
            name=name,
            timing=timing,
            duration_s=resampled_s if name == tasks.RESAMPLE else duration_s,
            floor=None if floor_timing is None else FLOORS[name],
            floor_timing=floor_timing,
        )

    programs = [program for program in dict.fromkeys(program for program, _ in todo) if program != "floor"]
    return tuple(
        stage(program, name, timings[program, name])
        for program in programs
        for name in tasks.ORDER
        if (program, name) in timings
    )


def _run_all(run: others.Peer, waveforms: Sequence[Waveform]) -> None:
    for waveform in waveforms:
        run(waveform)
