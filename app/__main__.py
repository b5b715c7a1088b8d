"""`python -m app`: the command line."""

import sys

from app.cli.main import run_blipdiff

sys.exit(run_blipdiff())
