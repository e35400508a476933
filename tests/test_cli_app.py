import ast
import errno
import importlib.metadata
import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy
import pytest
import soundfile

import compactcli
from compactcli.errors import CompactError, DeviceError, ManifestError, ModelError

CLI = Path(compactcli.__file__).parent / "cli"


def test_versions(run_compact, monkeypatch):
    code, out, err = run_compact("--version")
    assert (code, err) == (0, "")
    versions = dict(line.split(" ", 1) for line in out.splitlines())
    assert list(versions)[:3] == ["compact", "python", "system"]
    assert versions["compact"] == compactcli.__version__
    assert versions["python"] == platform.python_version()
    assert versions["numpy"] == numpy.__version__
    assert versions["soundfile"] == soundfile.__version__
    assert versions["libsndfile"] == soundfile.__libsndfile_version__

    def not_there(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr("importlib.metadata.version", not_there)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    _, out, _ = run_compact("--version")
    assert "torch not installed\n" in out
    assert "libsndfile of the system\n" in out


def test_a_library_for_another_processor_has_no_version(tmp_path, monkeypatch):
    from compactcli.cli.versions import version_text

    (tmp_path / "_soundfile_data").mkdir()
    (tmp_path / "_soundfile_data/__init__.py").touch()
    (tmp_path / "_soundfile_data/libsndfile_other.so").write_text("no library")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "_soundfile_data", raising=False)
    assert version_text().endswith("libsndfile of the system")


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["classify", "--help"], ["detect", "-h"], ["models", "--help"]])
def test_help(words, run_compact):
    code, out, err = run_compact(*words)
    assert (code, err) == (0, "")
    assert "Usage: compact" in out


def test_nothing_asked_shows_the_help_and_is_wrong(run_compact):
    code, out, err = run_compact()
    assert code == 2
    assert "Usage: compact" in out + err


def test_unknown_command(run_compact):
    code, out, err = run_compact("transcribe")
    assert (code, out) == (2, "")
    assert "transcribe" in err


@pytest.mark.parametrize(
    ("kind", "expected"), [(CompactError, 1), (DeviceError, 2), (ManifestError, 2), (ModelError, 2)]
)
def test_every_error_has_its_exit_code(kind, expected, run_compact, write_tone, monkeypatch):
    def fail(*_arguments, **_options):
        raise kind("[bold]it[/bold] is wrong\x1b[31m", hint="mend [it]")

    monkeypatch.setattr("compactcli.inference.load_model", fail)
    code, out, err = run_compact("classify", write_tone())
    assert (code, out, kind.exit_code) == (expected, "", expected)
    assert err == "error: [bold]it[/bold] is wrong\\x1b[31m\nhint: mend [it]\n"


def test_a_recording_that_is_needed_before_anything_can_be_done(run_compact, tmp_path):
    (tmp_path / "README.md").write_text("no audio")
    code, out, err = run_compact("bench", tmp_path / "README.md", "--no-peers", "--quiet")
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {tmp_path}/README.md is not audio")


@pytest.mark.parametrize(
    ("code", "expected", "said"),
    [
        (None, 0, ""),
        (0, 0, ""),
        (3, 3, ""),
        ("no [bold]torch[/bold]", 70, "no [bold]torch[/bold]\n"),
        (2.5, 70, "2.5\n"),
    ],
)
def test_what_else_ends_the_process(code, expected, said, run_compact, write_tone, monkeypatch):
    def end(*_arguments, **_options):
        raise SystemExit(code)

    monkeypatch.setattr("compactcli.inference.load_model", end)
    assert run_compact("classify", write_tone()) == (expected, "", said)


def test_a_full_disk_is_the_user_s(run_compact, write_tone, monkeypatch):
    def fail(*_arguments, **_options):
        raise OSError(errno.ENOSPC, "No space left on device", "cache")

    monkeypatch.setattr("compactcli.inference.load_model", fail)
    code, out, err = run_compact("classify", write_tone())
    assert (code, out) == (1, "")
    assert err.startswith("error: cache cannot be written (No space left on device), expected room and the right")


def test_error_without_a_hint(run_compact, write_tone, monkeypatch):
    def fail(*_arguments, **_options):
        raise ModelError("it is wrong")

    monkeypatch.setattr("compactcli.inference.load_model", fail)
    assert run_compact("classify", write_tone()) == (2, "", "error: it is wrong\n")


@pytest.mark.parametrize("chain", [True, False])
def test_ctrl_c_may_meet_a_library_that_is_being_loaded(chain, run_compact, write_tone, monkeypatch):
    def fail(*_arguments, **_options):
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt as interrupt:
            if chain:
                raise ImportError("initialization failed") from interrupt
            raise ImportError("initialization failed")  # noqa: B904  # as C code does that says nothing of the cause

    monkeypatch.setattr("compactcli.inference.load_model", fail)
    assert run_compact("classify", write_tone()) == (130, "", "")


def test_help_and_refusals_load_nothing_heavy():
    heavy = ("numpy", "torch", "soundfile", "soxr", "librosa", "onnxruntime")
    code = f"""if True:
        import sys
        from compactcli.cli.app import main
        codes = [main([word]) for word in ("--help", "--version")] + [main(["detect", "--help"]), main(["detect"])]
        print(codes, [name for name in {heavy!r} if name in sys.modules])
    """
    result = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "[0, 0, 0, 2] []"


@pytest.mark.parametrize(
    ("shell", "environment"),
    [
        ("bash", {"COMP_WORDS": "compact detect --files", "COMP_CWORD": "2"}),
        ("zsh", {"_TYPER_COMPLETE_ARGS": "compact detect --files"}),
        ("fish", {"_TYPER_COMPLETE_ARGS": "compact detect --files", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}),
    ],
)
def test_shells_complete_options_and_load_nothing_heavy(shell, environment):
    code = """if True:
        import atexit, sys
        heavy = ("numpy", "torch", "soundfile", "soxr", "librosa", "onnxruntime")
        atexit.register(lambda: sys.stderr.write(str([name for name in heavy if name in sys.modules])))
        from compactcli.cli.app import main
        sys.argv = ["compact"]
        sys.exit(main())
    """
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={**os.environ, **environment, "_COMPACT_COMPLETE": f"complete_{shell}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "--files-from" in result.stdout
    assert "--top-k" not in result.stdout
    assert result.stderr == "[]"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_can_be_shown(shell):
    command = [sys.executable, "-m", "compactcli", "--show-completion"]
    environment = {**os.environ, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    result = subprocess.run([*command, shell], env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0
    assert "_COMPACT_COMPLETE" in result.stdout


@pytest.mark.parametrize("path", sorted(CLI.glob("*.py")), ids=lambda path: path.stem)
def test_commands_use_only_what_typer_exports(path):
    imported = [
        name
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    ]
    assert not [name for name in imported if name.split(".")[0] == "click" or name.startswith("typer.")]


@pytest.mark.parametrize("engine", ["onnx", "torch"])
def test_nothing_is_left_in_the_home_folder(write_tone, tmp_path, engine):
    home = tmp_path / "home"
    home.mkdir()
    apart = {"HOME": str(home), "USERPROFILE": str(home), "XDG_CACHE_HOME": "", "TMPDIR": str(tmp_path)}
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"} | apart
    words = [sys.executable, "-m", "compactcli", "classify", "--engine", engine, write_tone()]
    subprocess.run(words, env=environment, cwd=tmp_path, capture_output=True, check=True)
    assert list(home.rglob("*")) == []


@pytest.mark.parametrize("asked", [None, "0"])
def test_onnxruntime_counts_nobody_unless_asked_to(asked):
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    if asked is not None:
        environment["ORT_DISABLE_TELEMETRY"] = asked
    code = "import os, compactcli.onnx_runtime; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert result.stdout == f"{asked or 1}\n"
