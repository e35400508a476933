"""What became of a run, in numbers."""

from dataclasses import dataclass, replace

from compactcli.records import Record


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What became of a run.

    Args:
        n_ok: Recordings analysed whole.
        n_partial: Damaged recordings, analysed as far as they go.
        n_failed: Recordings not analysed.
        n_skipped: Recordings left out because their results are there.
        audio_s: Seconds of audio analysed by this run itself.
        wall_s: Seconds it took.
    """

    n_ok: int = 0
    n_partial: int = 0
    n_failed: int = 0
    n_skipped: int = 0
    audio_s: float = 0.0
    wall_s: float = 0.0

    def add(self, record: Record, *, from_journal: bool = False) -> "Summary":
        """The summary with one more record; what an earlier run analysed took this one no time."""
        return replace(
            self,
            n_ok=self.n_ok + (record.status == "ok"),
            n_partial=self.n_partial + (record.status == "partial"),
            n_failed=self.n_failed + (record.status == "error"),
            audio_s=self.audio_s + (0.0 if from_journal else record.duration or 0.0),
        )

    @property
    def n_files(self) -> int:
        """Recordings in all."""
        return self.n_ok + self.n_partial + self.n_failed + self.n_skipped

    @property
    def exit_code(self) -> int:
        """1 when a recording failed, else 0; a partial one has its result."""
        return 1 if self.n_failed else 0

    @property
    def text(self) -> str:
        """One line for people."""
        speed = self.audio_s / max(self.wall_s, 1e-3)
        return (
            f"{self.n_files} files: {self.n_ok} ok, {self.n_partial} partial, {self.n_failed} failed, "
            f"{self.n_skipped} skipped; "
            f"{self.audio_s / 3600:.2f} hours of audio in {self.wall_s:.1f} s ({speed:.0f} x real time)"
        )
