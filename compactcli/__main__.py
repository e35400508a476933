"""``python -m compactcli`` does what ``compact`` does."""

from typing import NoReturn

from compactcli.cli.stopping import EXIT_INTERRUPTED, end_process


def run() -> NoReturn:
    """Run the command of this process, to its very end."""
    try:
        from compactcli.cli.app import main

        code = main()
    except KeyboardInterrupt:  # while modules were loaded, or a second one while the first was dealt with
        code = EXIT_INTERRUPTED
    end_process(code)


if __name__ == "__main__":
    run()
