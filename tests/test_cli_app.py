import ast
import subprocess
import sys
from pathlib import Path

import pytest

import compactcli
from compactcli.errors import AudioError, DeviceError, ManifestError, ModelError

CLI = Path(compactcli.__file__).parent / "cli"


def test_version(run_compact):
    assert run_compact("--version") == (0, f"compact {compactcli.__version__}\n", "")


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


@pytest.mark.parametrize("kind", [AudioError, DeviceError, ManifestError, ModelError])
def test_every_error_has_its_exit_code(kind, run_compact, write_tone, monkeypatch):
    def fail(*_arguments, **_options):
        raise kind("[bold]it[/bold] is wrong\x1b[31m", hint="mend [it]")

    monkeypatch.setattr("compactcli.inference.load_model", fail)
    code, out, err = run_compact("classify", write_tone())
    assert (code, out) == (kind.exit_code, "")
    assert err == "error: [bold]it[/bold] is wrong\\x1b[31m\nhint: mend [it]\n"


def test_error_without_a_hint(run_compact, write_tone, monkeypatch):
    def fail(*_arguments, **_options):
        raise ModelError("it is wrong")

    monkeypatch.setattr("compactcli.inference.load_model", fail)
    assert run_compact("classify", write_tone()) == (2, "", "error: it is wrong\n")


def test_help_and_refusals_load_nothing_heavy():
    heavy = ("numpy", "torch", "soundfile", "soxr", "librosa", "onnxruntime")
    code = f"""if True:
        import sys
        from compactcli.cli.app import main
        codes = [main(["--help"]), main(["detect", "--help"]), main(["detect"])]
        print(codes, [name for name in {heavy!r} if name in sys.modules])
    """
    result = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "[0, 0, 2] []"


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
