"""Standard streams that whoever started the command has closed, as ``<&-`` does in a shell."""

import os
import sys


def fill_closed_streams() -> None:
    """Open the null device in the place of standard streams that are closed, here and in processes started later.

    The system gives the lowest free number to the next file that is opened: a recording or a result would take the
    place of the stream, and get what is meant for that. ``sys.stdin``, ``sys.stdout`` and ``sys.stderr`` stay None
    where the stream was closed, so that nobody takes it for an empty one.
    """
    if None not in (sys.stdin, sys.stdout, sys.stderr):
        return
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
