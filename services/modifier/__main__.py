"""`python -m services.modifier`: the modifier stage in the foreground."""

import sys

from common.run import main

sys.exit(main("modifier"))
