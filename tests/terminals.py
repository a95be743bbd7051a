"""What a real terminal is sent."""

from __future__ import annotations

import os


def sent(child: int, fd: int) -> tuple[int, str]:
    """All that a forked child has sent to its terminal, and its exit code, once it has ended."""
    said = b""
    while True:
        try:
            said += os.read(fd, 65536)
        except OSError:
            break
    os.close(fd)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), said.decode()
