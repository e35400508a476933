import re
from pathlib import Path

import pytest
from rich.live import Live

from compactcli.cli.inputs import Input
from compactcli.cli.progress import REFRESH_S, RunProgress, Silence, watch
from compactcli.cli.steps import StepProgress

INPUTS = [Input(path=Path(name), n_bytes=1000) for name in "abcd"]


def shown(text):
    return re.sub(r"\x1b\[[\d;?]*[A-Za-z]|\r", "", text)


def test_only_a_terminal_shows_progress(on_terminal, capsys):
    assert isinstance(watch(INPUTS, n_before=0, active=True), Silence)
    on_terminal()
    assert isinstance(watch(INPUTS, n_before=0, active=False), Silence)
    assert isinstance(watch(INPUTS, n_before=0, active=True), RunProgress)
    with Silence() as progress:
        progress.inside(INPUTS[0], 1.0, None)
        progress.done(INPUTS[0], 1.0)
    assert capsys.readouterr().err == ""


def test_several_recordings_at_once(on_terminal, capsys, monkeypatch):
    on_terminal()
    now = 100.0
    monkeypatch.setattr("compactcli.cli.progress.time.monotonic", lambda: now)
    with RunProgress(INPUTS, n_before=0) as progress:
        now += 10.0
        progress.inside(INPUTS[0], 1800.0, 3600.0)
        capsys.readouterr()
        progress.inside(INPUTS[1], 1800.0, 3600.0)  # too soon to be drawn
        assert capsys.readouterr().err == ""
        now += REFRESH_S
        progress.done(INPUTS[2], 3600.0)
        text = shown(capsys.readouterr().err)
    # half of two recordings and one whole: half of the four
    assert "1 of 4 files 2.00 h of audio 706 x real time" in text
    assert text.count("━") >= 15


def test_what_an_interrupted_run_has_done_counts_as_done(on_terminal, capsys, monkeypatch):
    on_terminal()
    now = 100.0
    monkeypatch.setattr("compactcli.cli.progress.time.monotonic", lambda: now)
    with RunProgress(INPUTS[:2], n_before=7) as progress:
        now += 10.0
        progress.done(INPUTS[0], 3600.0)
        text = shown(capsys.readouterr().err)
    assert "8 of 9 files 1.00 h of audio 360 x real time" in text


def test_an_interrupt_while_the_bar_appears_leaves_the_cursor(on_terminal, capsys, monkeypatch):
    on_terminal()
    refresh = Live.refresh
    for progress in (watch(INPUTS, n_before=0, active=True), StepProgress(active=True)):
        came = []

        def refresh_or_stop(live, came=came):
            came.append(live)
            if len(came) == 1:
                raise KeyboardInterrupt
            refresh(live)

        monkeypatch.setattr(Live, "refresh", refresh_or_stop)
        capsys.readouterr()
        with pytest.raises(KeyboardInterrupt), progress:
            pass
        text = capsys.readouterr().err
        assert text.rfind("\x1b[?25h") > text.rfind("\x1b[?25l") >= 0
