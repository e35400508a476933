import logging
import os
import subprocess
import sys
import warnings

import pytest
from matplotlib import rcParams

from compactcli.canvas import plain_figure, require_canvas
from compactcli.errors import ConfigError


def draw_elsewhere(folder, **environment):
    """Draw nothing in a process of its own, where matplotlib has not been imported yet."""
    script = (
        "import os\nfrom compactcli.canvas import plain_figure\n"
        "with plain_figure(2, 1) as figure:\n    print(*figure.get_size_inches(), os.environ.get('MPLBACKEND'))"
    )
    return subprocess.run(
        [sys.executable, "-c", script],
        cwd=folder,
        env={"PATH": "", "HOME": str(folder / "none"), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_own_settings_inside_and_the_former_ones_after():
    rcParams["lines.linewidth"], before = 7.0, rcParams["lines.linewidth"]
    try:
        with plain_figure(2, 1):
            assert (rcParams["lines.linewidth"], rcParams["svg.hashsalt"]) == (1.5, "compact")
        assert rcParams["lines.linewidth"] == 7.0
    finally:
        rcParams["lines.linewidth"] = before


def test_matplotlib_says_nothing(caplog):
    with warnings.catch_warnings(record=True) as caught, plain_figure(2, 1):
        warnings.warn("Glyph 1 missing from font", stacklevel=1)
        logging.getLogger("matplotlib.font_manager").warning("building the font cache")
    assert (caught, caplog.records) == ([], [])


def test_nothing_is_said_where_no_cache_can_be_written(tmp_path):
    (tmp_path / "matplotlibrc").write_text("no such key: 1\nfont.size: thirty\n")
    run = draw_elsewhere(tmp_path, MPLCONFIGDIR="/proc/none")
    assert (run.returncode, run.stdout, run.stderr) == (0, "2.0 1.0 None\n", "")


def test_a_display_that_matplotlib_does_not_know_is_of_no_importance(tmp_path):
    run = draw_elsewhere(tmp_path, MPLBACKEND="my-terminal")
    assert (run.returncode, run.stdout) == (0, "2.0 1.0 my-terminal\n")


def test_settings_that_cannot_be_read(tmp_path):
    (tmp_path / "matplotlibrc").write_bytes(b"# caf\xe9\n")
    run = draw_elsewhere(tmp_path)
    assert run.returncode == 1
    assert "ConfigError: matplotlib cannot be imported: 'utf-8' codec can't decode byte 0xe9" in run.stderr


def test_a_matplotlib_that_is_broken_ends_in_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setenv("MPLBACKEND", "svg")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    with pytest.raises(ConfigError, match="matplotlib cannot be imported: ") as caught:
        require_canvas("compact plot")
    assert caught.value.hint == "install it again: pip install --force-reinstall matplotlib"
    assert os.environ["MPLBACKEND"] == "svg"
