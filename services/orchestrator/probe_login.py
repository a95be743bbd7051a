"""What `doctor` asks of GRIN: one line with the credentials, as `auth probe` does, and what time it is there.

Before that, whether the credentials' file is fit for it; this needs no network.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime

from common.config import Settings
from common.errors import Halt
from services.orchestrator.findings import MUST, OK, WARNING, Finding, finding
from services.orchestrator.seeding import downloads

NAME = "GRIN login"
FILE = "credentials"
_REACH = "See whether this machine can reach the internet, or needs a proxy (HTTPS_PROXY)."
_TIME = "Let this machine follow a time server (chrony, systemd-timesyncd): Google refuses keys when it is minutes off."
_TIMEOUT = 5.0
# A Date header has whole seconds, and the answer was on its way.
_SKEW, _REFUSED_SKEW = 10.0, 300.0


def credentials(settings: Settings) -> Iterator[Finding]:
    """Whether the file is there, ours alone, and what GRIN takes; nothing is said where no stage fetches from GRIN."""
    if not downloads(settings):
        return
    # Imported here: httpx and google-auth take longer to load than `status` takes to run.
    from common.grin.credentials import read_credentials  # noqa: PLC0415

    try:
        read_credentials(settings.grin)
    except Halt as error:
        yield Finding(FILE, MUST, error.reason, error.cure)
    else:
        yield Finding(FILE, OK, f"{settings.grin.credentials_file} is there, whole, and closed to others.")


def login(settings: Settings) -> Iterator[Finding]:
    """Whether GRIN lets us in; nothing is asked where no stage fetches from there."""
    if not downloads(settings):
        return
    if not settings.global_.library:
        cure = "Set it to the library's code at GRIN, in its upper and lower case."
        yield Finding(NAME, MUST, "global.library is not set.", cure)
        return
    from common.grin.probe import probe  # noqa: PLC0415

    found = probe(settings)
    if found.good:
        yield Finding(NAME, OK, found.reason)
    else:
        level = WARNING if found.verdict == "unavailable" else MUST
        yield Finding(NAME, level, found.reason, found.cure or _REACH)
    # Where nobody answers, or nobody can be asked, nobody tells the time either.
    file = settings.grin.credentials_file
    if found.verdict != "unreachable" and file is not None and file.exists():
        yield from _clock(settings)


def _clock(settings: Settings) -> Iterator[Finding]:
    """This machine's clock against the Date that GRIN's host puts on any answer, also on a refusal."""
    import httpx  # noqa: PLC0415

    from common.grin.connections import client  # noqa: PLC0415

    try:
        with client(httpx.Timeout(_TIMEOUT)) as http:
            before = time.time()
            with http.stream("GET", settings.grin.base_url) as response:
                now = (before + time.time()) / 2
                told = parsedate_to_datetime(response.headers.get("Date", "")).timestamp()
    except (httpx.HTTPError, ValueError):
        # Whether GRIN answers at all has been said.
        return
    # On average half a second has gone by since the second that is told began.
    ahead = told + 0.5 - now
    text = f"GRIN's clock is {abs(ahead):.0f} s {'ahead of' if ahead >= 0 else 'behind'} this machine's."
    far = abs(ahead)
    yield finding("GRIN's clock", text, _TIME, must=far >= _REFUSED_SKEW, warning=far > _SKEW)
