"""On what machine something was measured; packages are asked for their versions without importing them."""

import importlib.metadata
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

PACKAGES = ("numpy", "onnxruntime", "soundfile", "soxr", "torch", "typer")


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What figures depend on, apart from the program.

    Args:
        processor: Its name, as the system says it.
        cores: Logical cores that this process may use.
        threads: What ``OMP_NUM_THREADS`` says; None where it says nothing.
        system: Operating system and architecture.
        python: Version.
        packages: Versions by name; None for what is not installed.
        load_average: Processes that ran or waited to in the last minute, on average; None where nobody counts them.
    """

    processor: str
    cores: int
    threads: str | None
    system: str
    python: str
    packages: Mapping[str, str | None]
    load_average: float | None


def describe_machine(cpuinfo: Path = Path("/proc/cpuinfo")) -> Machine:
    """This machine, now.

    Args:
        cpuinfo: Where Linux describes its processors.
    """
    return Machine(
        processor=_processor(cpuinfo),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        threads=os.environ.get("OMP_NUM_THREADS"),
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
        packages={name: _version(name) for name in PACKAGES},
        load_average=os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
    )


def _processor(cpuinfo: Path) -> str:
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # not Linux
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
