"""Which format the results get, and the writer for it."""

from pathlib import Path

from rich.console import Console

from compactcli.cli.console import WIDE, stdout_is_terminal
from compactcli.cli.render import event_table, scene_table
from compactcli.formats import FORMATS, Writer


def choose_format(command: str, asked: str | None, *, output: Path | None) -> str:
    """The format asked for, else that of the output's suffix, else table on a terminal and jsonl elsewhere."""
    if asked is not None:
        return asked
    if output is not None:
        suffix = output.suffix.lower().removeprefix(".")
        return suffix if suffix in FORMATS[command] else "jsonl"
    return "table" if stdout_is_terminal() else "jsonl"


def make_writer(command: str, name: str, *, output: Path | None) -> Writer:
    """The writer of one document."""
    if name != "table":
        return FORMATS[command][name]()
    to_terminal = output is None and stdout_is_terminal()
    # a file is given no colours even when FORCE_COLOR is set, and lines as long as they need
    console = Console() if to_terminal else Console(width=WIDE, color_system=None, force_terminal=False)
    return scene_table(console) if command == "classify" else event_table(console)
