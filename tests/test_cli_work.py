from pathlib import Path

import numpy as np
import pytest

from compactcli.audio import AudioLimits
from compactcli.cli.inputs import Input
from compactcli.cli.work import Analyst, FramePlan, ModelFacts
from compactcli.errors import AudioError
from compactcli.records import Record
from compactcli.scores import FrameScores

FACTS = ModelFacts(name="fake", version="1", sha256={}, device="cpu", engine="fake", settings={})
PIECE = FrameScores(probabilities=np.zeros((2, 1), np.float32), edges_s=np.array([0.0, 0.5, 1.0]), classes=("loud",))


@pytest.fixture
def outcome_of(tmp_path):
    """What comes of one recording whose frames are wanted as text, and the documents of frames that are left."""

    def find(analyse):
        plan = FramePlan(folder=tmp_path, command="detect", formats=("scores-tsv",))
        analyst = Analyst(facts=FACTS, analyse=analyse, limits=AudioLimits(), frames=plan)
        outcome = analyst.outcome(Input(path=Path("a.wav"), root=None), lambda _done, _total: None)
        return outcome, list(tmp_path.iterdir())

    return find


def test_frames_are_in_documents(outcome_of):
    def analyse(path, listening):
        listening.on_frames(PIECE)
        return Record(path=str(path), duration=1.0)

    outcome, left = outcome_of(analyse)
    assert left == [outcome.frames["scores-tsv"]]
    assert left[0].read_text() == "onset\toffset\tloud\n0.000000\t0.500000\t0.000000\n0.500000\t1.000000\t0.000000\n"


def test_frames_of_what_failed_do_not_stay(outcome_of):
    def analyse(path, listening):
        listening.on_frames(PIECE)
        raise AudioError("broke off", code="damaged")

    outcome, left = outcome_of(analyse)
    assert (outcome.record.status, left) == ("error", [])
