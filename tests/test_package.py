import fnmatch
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import compactcli

ROOT = Path(__file__).parents[1]
HEAVY = ("numpy", "torch", "torchaudio", "librosa", "numba", "scipy", "typer", "rich", "soundfile", "soxr")
LAYOUT = {
    "pyproject.toml",
    "compactcli",
    "models",
    "tests",
    "README.md",
    "sample_audio",
    "LICENSE",
    "CHANGELOG.md",
    "CITATION.cff",
}


def run_python(*arguments):
    return subprocess.run(
        [sys.executable, "-W", "error", *arguments], capture_output=True, text=True, check=False, cwd=ROOT
    )


def test_importing_is_silent_and_loads_nothing_heavy():
    code = f"import compactcli, sys; print([name for name in {HEAVY!r} if name in sys.modules])"
    result = run_python("-c", code)
    assert (result.returncode, result.stdout.strip(), result.stderr) == (0, "[]", "")


def test_the_version_is_the_same_everywhere():
    citation = re.search(r"^version: (\S+)$", (ROOT / "CITATION.cff").read_text(encoding="utf-8"), re.M)
    newest = re.search(r"^## \[([^\]]+)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.M)
    assert citation is not None
    assert newest is not None
    assert compactcli.__version__ == citation[1] == newest[1]


def test_the_top_level_holds_what_it_should_and_nothing_else():
    ignored = [line.rstrip("/") for line in (ROOT / ".gitignore").read_text(encoding="utf-8").split()]
    found = {
        path.name
        for path in ROOT.iterdir()
        if not path.name.startswith(".") and not any(fnmatch.fnmatch(path.name, pattern) for pattern in ignored)
    }
    assert found == LAYOUT


def test_the_readme_begins_with_installing_and_running_then_testing():
    run, test = re.findall(r"^```bash\n(.*?)^```$", (ROOT / "README.md").read_text(encoding="utf-8"), re.M | re.S)
    assert "compact classify" in run
    assert "compact detect" in run
    assert test.splitlines()[-1] == ".venv/bin/python -m pytest"


def test_models_go_into_the_wheel_where_the_package_looks_for_them():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    included = project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    assert included == {"models": "compactcli/models"}
