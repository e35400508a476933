"""Commands in processes of their own, for tests of what a process as a whole does: crash, hang, litter its streams."""

import os
import subprocess
import sys
from pathlib import Path

import compactcli

TESTS = Path(__file__).parent
# this folder, and the one that holds the package
PYTHONPATH = os.pathsep.join([str(TESTS), str(Path(compactcli.__file__).parents[1])])


def run_python(*words, limit_s):
    """Run ``python WORDS`` with warnings as errors.

    Args:
        words: A script or ``-m`` and a module, and what it is told.
        limit_s: Seconds after which it counts as hanging and ``subprocess.TimeoutExpired`` is raised.
    """
    command = [sys.executable, "-W", "error", *map(str, words)]
    environment = {**os.environ, "PYTHONPATH": PYTHONPATH}
    return subprocess.run(command, capture_output=True, timeout=limit_s, env=environment, check=False)
