"""`python -m services.downloader`: the downloader stage in the foreground."""

import sys

from common.run import main

sys.exit(main("downloader"))
