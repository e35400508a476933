"""``compact`` with the fake engine, as a command of its own: worker processes read this file too, and get the engine.

Recordings whose names begin with ``hang``, ``kill``, ``exit`` or ``bug`` do that to the process that analyses them.
``die_at(N)`` kills the command itself, as ``kill -9`` does, at the Nth thing that it does to a file: in the middle of a
write or after it, before or after a file takes its name or is removed.
"""

import itertools
import json
import os
import pathlib
import signal
import sys
import time

from fake_engine import FakeEngine

import compactcli.cli.batch
import compactcli.cli.journal
import compactcli.cli.output
import compactcli.inference
from compactcli.cli.app import main
from compactcli.cli.stopping import end_process
from compactcli.errors import ModelError

REAL = {name: getattr(compactcli.inference, name) for name in ("classify_recording", "detect_recording")}


def load_model(model=None, *, device="auto", engine="auto", batch_size=None, precision="fp32"):
    if model == "missing":
        raise ModelError("model 'missing' was not found", hint="look for it")
    if model == "deadly":
        os.kill(os.getpid(), signal.SIGKILL)
    if device == "batch":
        return FakeEngine(device=str(batch_size))
    threads = os.environ.get("OMP_NUM_THREADS", "")
    return FakeEngine(device=f"cpu {threads!r}" if device == "threads" else "cpu")


def misbehave(name):
    if name.startswith("hang"):
        time.sleep(1000)
    if name.startswith("kill"):
        os.kill(os.getpid(), signal.SIGKILL)
    if name.startswith("exit"):
        os._exit(3)
    if name.startswith("bug"):
        raise TypeError("no such thing")


def patched(command):
    def analyse(path, *arguments, **options):
        misbehave(path.name)
        return REAL[command](path, *arguments, **options)

    return analyse


# as a command or in a worker process, not where a test collector imports every file
if __name__ in ("__main__", "__mp_main__"):
    compactcli.inference.load_model = load_model
    for command in REAL:
        setattr(compactcli.inference, command, patched(command))


def die_at(number):
    counter = itertools.count(1)

    def step():
        if next(counter) == number:
            os.kill(os.getpid(), signal.SIGKILL)

    def torn(write_all):
        def write(file, data, *, name):
            half = len(data) // 2
            write_all(file, data[:half], name=name)
            step()
            write_all(file, data[half:], name=name)
            step()

        return write

    def before_and_after(method):
        def act(*arguments, **options):
            step()
            result = method(*arguments, **options)
            step()
            return result

        return act

    for module in (compactcli.cli.journal, compactcli.cli.output):
        module.write_all = torn(module.write_all)
    pathlib.Path.replace = before_and_after(pathlib.Path.replace)
    pathlib.Path.unlink = before_and_after(pathlib.Path.unlink)


def serve():
    """Run one command for each line of standard input, ``[kill_at, cwd, words]``, and answer with its exit code.

    Each runs in a fork of this process, which has imported everything already: hundreds of them take seconds.
    """
    for line in sys.stdin:
        kill_at, cwd, words = json.loads(line)
        child = os.fork()
        if child == 0:
            os.chdir(cwd)
            nowhere = os.open(os.devnull, os.O_RDWR)
            for descriptor in (0, 1, 2):
                os.dup2(nowhere, descriptor)
            if kill_at:
                die_at(kill_at)
            os._exit(main(words))
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        sys.stdout.write(f"{code}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    if sys.argv[1:] == ["--serve"]:
        serve()
    else:
        end_process(main())
