"""`python -m services.decryptor`: the decryptor stage in the foreground."""

import sys

from common.run import main

sys.exit(main("decryptor"))
