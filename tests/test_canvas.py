import logging
import subprocess
import sys
import warnings

from matplotlib import rcParams

from compactcli.canvas import plain_canvas


def test_own_settings_inside_and_the_former_ones_after():
    rcParams["lines.linewidth"], before = 7.0, rcParams["lines.linewidth"]
    try:
        with plain_canvas():
            assert (rcParams["lines.linewidth"], rcParams["svg.hashsalt"]) == (1.5, "compact")
        assert rcParams["lines.linewidth"] == 7.0
    finally:
        rcParams["lines.linewidth"] = before


def test_matplotlib_says_nothing(caplog):
    with warnings.catch_warnings(record=True) as caught, plain_canvas():
        warnings.warn("Glyph 1 missing from font", stacklevel=1)
        logging.getLogger("matplotlib.font_manager").warning("building the font cache")
    assert (caught, caplog.records) == ([], [])


def test_nothing_is_said_where_no_cache_can_be_written(tmp_path):
    (tmp_path / "matplotlibrc").write_text("no such key: 1\nfont.size: thirty\n")
    environment = {"HOME": str(tmp_path / "none"), "MPLCONFIGDIR": "/proc/none", "PATH": ""}
    script = "from compactcli.canvas import plain_canvas\nwith plain_canvas():\n    pass"
    run = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert run.stderr == ""
