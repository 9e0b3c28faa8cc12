"""`python -m tokenward`: the same as the command `tokenward`."""

import sys

from tokenward.cli.main import run

sys.exit(run())
