"""Runs the stand-in provider."""

import sys

from tokenward.lab.standin.server import main

sys.exit(main())
