"""`python -m services.uploader`: the uploader stage in the foreground."""

import sys

from common.run import main

sys.exit(main("uploader"))
