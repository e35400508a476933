import subprocess
import sys


def run_module(*arguments):
    return subprocess.run([sys.executable, "-m", "compactcli", *arguments], capture_output=True, text=True, check=False)


def test_running_the_package_is_running_the_command():
    result = run_module("--help")
    assert result.returncode == 0
    assert "classify" in result.stdout
    assert "detect" in result.stdout


def test_the_exit_code_reaches_the_shell():
    result = run_module("no-such-command")
    assert (result.returncode, result.stdout) == (2, "")
    assert "no-such-command" in result.stderr
