"""``python -m compactcli`` does what ``compact`` does."""

import sys

from compactcli.cli.app import main

if __name__ == "__main__":
    sys.exit(main())
