"""Frame scores as a table for sed_scores_eval, written while they are computed."""

from typing import BinaryIO

from compactcli.formats.fields import escape
from compactcli.scores import FrameScores


class ScoresTsvWriter:
    """One row for each frame: onset and offset in seconds, then the score of each class, all with 6 decimals.

    The scores are meant to be calibrated and not smoothed, with one column for each class that was looked for. The text
    of each piece is to be written out at once: a day of frames is about a gigabyte.

    Source:
        ``write_sed_scores`` of sed_scores_eval, which takes the file's name without ``.tsv`` for the recording's.
    """

    def __init__(self) -> None:
        self._row = ""

    def frames(self, scores: FrameScores) -> str:
        """Rows of the next frames, after the column names if they are the first.

        Args:
            scores: Consecutive frames, with their edges in seconds from the start of the recording; any number of
                frames, the same classes in each piece. The last edge of the last piece is the recording's end.
        """
        text = []
        if not self._row:
            text.append("\t".join(["onset", "offset", *map(escape, scores.classes)]) + "\n")
            self._row = "\t".join(["%.6f"] * (2 + len(scores.classes))) + "\n"
        edges = scores.edges_s.tolist()
        for onset, offset, row in zip(edges[:-1], edges[1:], scores.probabilities.tolist(), strict=True):
            text.append(self._row % (onset, offset, *row))
        return "".join(text)

    def finish(self, file: BinaryIO) -> None:
        """Nothing: what ``frames`` gave is the whole table."""
