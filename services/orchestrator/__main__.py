"""`python -m services.orchestrator` is the `grin-pipeline` command."""

import sys

from services.orchestrator.cli import main

sys.exit(main())
