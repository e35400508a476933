"""Log-mel frames as an array for numpy or as a table, written while they are computed."""

import io
from typing import BinaryIO

import numpy as np

from compactcli.scores import FrameLevels


class NpyWriter:
    """A ``.npy`` file: float32, shape ``(n_frames, n_mels)``, dB relative to a full-scale sine."""

    def __init__(self) -> None:
        self._n_frames, self._n_mels = 0, 0

    def frames(self, levels: FrameLevels) -> bytes:
        """Rows of the next frames, after a header of the right length if they are the first."""
        first = not self._n_frames
        self._n_frames += len(levels.levels_db)
        self._n_mels = levels.levels_db.shape[1]
        return (self._header() if first else b"") + np.ascontiguousarray(levels.levels_db, dtype="<f4").tobytes()

    def finish(self, file: BinaryIO) -> None:
        """Write the header that says how many frames there are over that at the file's beginning."""
        file.seek(0)
        file.write(self._header())

    def _header(self) -> bytes:
        # numpy leaves room for the first number to grow, so every header of a file has one length
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(
            header, {"descr": "<f4", "fortran_order": False, "shape": (self._n_frames, self._n_mels)}
        )
        return header.getvalue()


class LevelsTsvWriter:
    """One row for each frame: onset and offset in seconds, then the level of each band in dB.

    The columns of levels are named by the centres of their bands in Hz. Times have 6 decimals, levels 2.
    """

    def __init__(self) -> None:
        self._row = ""

    def frames(self, levels: FrameLevels) -> bytes:
        """Rows of the next frames, after the column names if they are the first."""
        text = []
        if not self._row:
            text.append("\t".join(["onset", "offset", *(f"{hz:.1f}" for hz in levels.centres_hz)]) + "\n")
            self._row = "\t".join(["%.6f"] * 2 + ["%.2f"] * len(levels.centres_hz)) + "\n"
        edges = levels.edges_s.tolist()
        for onset, offset, row in zip(edges[:-1], edges[1:], levels.levels_db.tolist(), strict=True):
            text.append(self._row % (onset, offset, *row))
        return "".join(text).encode("ascii")

    def finish(self, file: BinaryIO) -> None:
        """Nothing."""
