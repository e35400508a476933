"""Commands in processes of their own: how long they take and how much memory they hold at most."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from compactcli.errors import CompactError

# What a process holds at most counts from the memory of whoever started it, so a small process starts it, not this one.
_STARTER = """
import os, sys, time
quiet = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
started = time.perf_counter()
process = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=quiet)
_, status, usage = os.wait4(process, 0)
print(time.perf_counter() - started, usage.ru_maxrss)
sys.exit(abs(os.waitstatus_to_exitcode(status)))
"""


@dataclass(frozen=True, kw_only=True)
class ProcessRun:
    """One run of a command.

    Args:
        seconds: From its start to its end.
        peak_bytes: Physical memory that it held at most; None where the system does not say.
    """

    seconds: float
    peak_bytes: int | None


RunProcess = Callable[[Sequence[str]], ProcessRun]


def run_process(words: Sequence[str]) -> ProcessRun:
    """Run a command to its end and measure it; what it writes goes nowhere.

    Args:
        words: Path of a program and its arguments.

    Raises:
        CompactError: It failed.
    """
    counts_memory = hasattr(os, "posix_spawn")
    command = [sys.executable, "-I", "-S", "-c", _STARTER, *words] if counts_memory else list(words)
    started = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    seconds = time.perf_counter() - started
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["nothing on standard error"]
        raise CompactError(
            f"'{' '.join(words[1:])}' ended with exit code {done.returncode} ({said[-1].strip()}), expected 0",
            hint="run that command by itself to see what it says",
            code="failed-process",
        )
    if not counts_memory:
        return ProcessRun(seconds=seconds, peak_bytes=None)
    taken, peak = done.stdout.split()
    # Linux counts in kibibytes, macOS in bytes
    return ProcessRun(seconds=float(taken), peak_bytes=int(peak) * (1 if sys.platform == "darwin" else 1024))
