"""What was measured: seconds become times real time, and are set against floors and peers."""

import dataclasses
from dataclasses import dataclass
from typing import Any

from compactcli.benchmark.machine import Machine
from compactcli.benchmark.timing import Timing

# what commands are compared with, where it is installed
YARDSTICK = 'python -c "import torch"'


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One stage of one program.

    Args:
        program: Who did it, such as ``compact onnx``.
        name: What was done.
        timing: How long it took for all recordings together.
        duration_s: Seconds of audio.
        floor: Name of what cannot be left out of the stage, or None where nobody knows.
        floor_timing: How long that took by itself.
    """

    program: str
    name: str
    timing: Timing
    duration_s: float
    floor: str | None = None
    floor_timing: Timing | None = None

    @property
    def speed(self) -> float:
        """Times real time, from the median."""
        return self.duration_s / self.timing.median_s

    @property
    def min_speed(self) -> float:
        """Times real time of the slowest repeat."""
        return self.duration_s / max(self.timing.seconds)

    @property
    def max_speed(self) -> float:
        """Times real time of the fastest repeat."""
        return self.duration_s / min(self.timing.seconds)

    @property
    def of_floor(self) -> float | None:
        """How many times as long as its floor it took; None where that is unknown."""
        return None if self.floor_timing is None else self.timing.median_s / self.floor_timing.median_s

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, for JSON."""
        floor = None
        if self.floor_timing is not None:
            floor = {"name": self.floor, "seconds": list(self.floor_timing.seconds), "times_floor": self.of_floor}
        return {
            "program": self.program,
            "stage": self.name,
            "duration": self.duration_s,
            "speed": self.speed,
            "min_speed": self.min_speed,
            "max_speed": self.max_speed,
            "steady": self.timing.is_steady,
            "seconds": list(self.timing.seconds),
            "floor": floor,
        }


@dataclass(frozen=True, kw_only=True)
class Startup:
    """A command in a process of its own.

    Args:
        name: The command.
        timing: From its start to its end.
        peak_bytes: Physical memory that it held at most; None where the system does not say.
    """

    name: str
    timing: Timing
    peak_bytes: int | None


@dataclass(frozen=True, kw_only=True)
class Report:
    """Everything that one run measured.

    Args:
        machine: Where, and what else it was doing before.
        model: Name of the model.
        device: Where the network ran.
        recordings: What was measured on; None for a recording made for it.
        stages: Those of the engine that was asked for, then those of its peers.
        startup: Commands in processes of their own.
    """

    machine: Machine
    model: str
    device: str
    recordings: tuple[str, ...] | None
    stages: tuple[Stage, ...]
    startup: tuple[Startup, ...]

    @property
    def duration_s(self) -> float:
        """Seconds of audio in all recordings."""
        return max(stage.duration_s for stage in self.stages)

    @property
    def repeats(self) -> int:
        """Rounds that count."""
        return len(self.stages[0].timing.seconds)

    def ahead_of(self, peer: Stage) -> float | None:
        """How many times as fast as a peer the engine that was asked for does the same stage.

        Returns:
            None for that engine's own stages, and for stages that it does not have.
        """
        own = self.stages[0].program
        for stage in self.stages:
            if stage.program == own != peer.program and stage.name == peer.name:
                return stage.speed / peer.speed
        return None

    def startup_ratios(self, command: Startup) -> tuple[float | None, float | None]:
        """How many times the time and the memory of importing torch a command takes.

        Returns:
            None for that import itself, and for what is unknown or not installed.
        """
        torch = next((item for item in self.startup if item.name == YARDSTICK), None)
        if torch is None or command.name == YARDSTICK:
            return None, None
        time_ratio = command.timing.median_s / torch.timing.median_s
        if command.peak_bytes is None or torch.peak_bytes is None:
            return time_ratio, None
        return time_ratio, command.peak_bytes / torch.peak_bytes

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, for JSON; durations and times in seconds."""
        startup = []
        for command in self.startup:
            time_ratio, memory_ratio = self.startup_ratios(command)
            startup.append(
                {
                    "command": command.name,
                    "median": command.timing.median_s,
                    "seconds": list(command.timing.seconds),
                    "steady": command.timing.is_steady,
                    "peak_bytes": command.peak_bytes,
                    "times_torch_import": time_ratio,
                    "times_torch_memory": memory_ratio,
                }
            )
        return {
            "machine": dataclasses.asdict(self.machine),
            "model": self.model,
            "device": self.device,
            "recordings": None if self.recordings is None else list(self.recordings),
            "duration": self.duration_s,
            "repeats": self.repeats,
            "stages": [{**stage.to_dict(), "times_as_fast": self.ahead_of(stage)} for stage in self.stages],
            "startup": startup,
        }
