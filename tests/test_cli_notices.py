import warnings

import pytest

from compactcli.cli.notices import say_device_warnings
from compactcli.errors import DeviceWarning


@pytest.mark.filterwarnings("default")
def test_a_device_is_one_line_of_talk(capsys):
    with say_device_warnings():
        warnings.warn("the memory of [bold]'cuda:0' is full", DeviceWarning, stacklevel=1)
    assert capsys.readouterr() == ("", "warning: the memory of [bold]'cuda:0' is full\n")


def test_other_warnings_look_as_ever(capsys):
    with pytest.warns(DeprecationWarning, match="this will go"), say_device_warnings():
        warnings.warn("this will go", DeprecationWarning, stacklevel=1)
    assert capsys.readouterr() == ("", "")


def test_what_was_there_before_comes_back():
    before = warnings.showwarning
    with say_device_warnings():
        assert warnings.showwarning is not before
    assert warnings.showwarning is before


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("quiet", [[], ["--quiet"]])
def test_commands_say_it_even_when_quiet(run_compact, write_tone, monkeypatch, quiet):
    from fake_engine import FakeEngine

    def load(model=None, *, device="auto", engine="auto", batch_size=None, precision="fp32"):
        warnings.warn("the memory of 'cuda:0' does not hold the model", DeviceWarning, stacklevel=1)
        return FakeEngine()

    monkeypatch.setattr("compactcli.inference.load_model", load)
    code, out, err = run_compact("classify", write_tone(), *quiet)
    assert (code, err) == (0, "warning: the memory of 'cuda:0' does not hold the model\n")
    assert out.startswith('{"schema": 1')
