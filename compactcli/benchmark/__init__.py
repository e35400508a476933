"""How fast every stage is, as times real time, how far from its floor, and how long a command takes to start.

Nothing here prints. Everything is measured in rounds, each of which runs every task once: whatever else the machine
does meanwhile slows all tasks alike. The first round warms up and is thrown away.
"""

from compactcli.benchmark.machine import Machine, describe_machine
from compactcli.benchmark.material import make_blocks
from compactcli.benchmark.peers import find_peers
from compactcli.benchmark.report import YARDSTICK, Report, Stage, Startup
from compactcli.benchmark.running import benchmark, program_name
from compactcli.benchmark.startup import CLASSIFY_S, measure_startup, startup_commands
from compactcli.benchmark.timing import Timing

__all__ = [
    "CLASSIFY_S",
    "YARDSTICK",
    "Machine",
    "Report",
    "Stage",
    "Startup",
    "Timing",
    "benchmark",
    "describe_machine",
    "find_peers",
    "make_blocks",
    "measure_startup",
    "program_name",
    "startup_commands",
]
