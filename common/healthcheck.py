"""What the engine asks every few seconds: does /healthz of this container answer with 200? Exit code 0 or 1.

Run as a file and with nothing but sockets, since a whole HTTP client would take longer to load than to use.
"""

import os
import socket
import sys

_PORT = 8080 if os.environ.get("STAGE") == "orchestrator" else 8000
_PATIENCE = 5.0


def main() -> int:
    """Say what /healthz says."""
    try:
        answer = _ask().decode(errors="replace")
    except OSError as error:
        sys.stdout.write(f"Nobody answers on port {_PORT}: {error}\n")
        return 1
    status, _, rest = answer.partition("\r\n")
    sys.stdout.write(rest.partition("\r\n\r\n")[2])
    return 0 if status.startswith("HTTP/") and status.split()[1:2] == ["200"] else 1


def _ask() -> bytes:
    with socket.create_connection(("127.0.0.1", _PORT), timeout=_PATIENCE) as connection:
        connection.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
        return b"".join(iter(lambda: connection.recv(4096), b""))


if __name__ == "__main__":
    sys.exit(main())
