"""`python -m services.extractor`: the extractor stage in the foreground."""

import sys

from common.run import main

sys.exit(main("extractor"))
