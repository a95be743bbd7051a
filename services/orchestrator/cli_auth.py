"""`auth login`, `auth status`, `auth probe`: credentials for GRIN, made, shown and tried."""

from __future__ import annotations

import argparse
import os
import sys
import webbrowser
from collections.abc import Callable
from pathlib import Path
from typing import Any

from common import config
from common.errors import ConfigError
from common.json_line import json_line
from services.orchestrator import terminal
from services.orchestrator.parsing import add_command

Parser = argparse.ArgumentParser
Factory = Callable[[str, object, str, str], Parser]
# Long enough to find the right account, and its password.
_PATIENCE = 600.0
_EXAMPLE = "grin-pipeline auth"


def add_commands(command: Factory) -> None:
    """All of them; `command` makes a parser of a name, a function, a description and an example."""
    what = "sign in to GRIN as a person, see whose credentials there are, try them"
    parser = command("auth", _which, what, "grin-pipeline auth probe")
    parts = parser.add_subparsers(title="what to do", metavar="WHAT", required=True)
    what = "ask a person for consent, and keep it in grin.credentials_file"
    login = add_command(parts, "login", _login, what, f"{_EXAMPLE} login --client-secret client.json", below=True)
    login.add_argument(
        "--client-secret", type=Path, required=True, metavar="FILE", help="of an OAuth client, a desktop app"
    )
    login.add_argument(
        "--port", type=_port, default=58_432, metavar="N", help="where the browser comes back (default: 58432)"
    )
    login.add_argument(
        "--host", default="127.0.0.1", help="the address to listen at (default: 127.0.0.1; containers: 0.0.0.0)"
    )
    login.add_argument("--no-browser", action="store_true", help="only print the address")
    login.add_argument("--timeout", type=terminal.seconds, default=_PATIENCE, metavar="SECONDS", help="default: 600")
    what = "whose credentials there are, and whether Google gives a token for them"
    status = add_command(parts, "status", _status, what, f"{_EXAMPLE} status --json", below=True)
    what = "ask GRIN for one line: does it know the account, and let it in?"
    probe = add_command(parts, "probe", _probe, what, f"{_EXAMPLE} probe", below=True)
    for one in (status, probe):
        one.add_argument("--json", action="store_true", help="one JSON object")


def _which(_: argparse.Namespace) -> int:
    raise ConfigError(["Which? `auth login`, `auth status` or `auth probe`."])


def _login(arguments: argparse.Namespace) -> int:
    # Imported here, as in the others: httpx and google-auth take longer to load than `status` takes to run.
    from common.grin import login  # noqa: PLC0415

    grin = config.load(arguments.config, classes=None).grin
    file = login.check_target(grin.credentials_file, arguments.client_secret)
    client = login.read_client(arguments.client_secret)
    with login.Door(arguments.host, arguments.port) as door:
        consent = login.Consent(grin, client, door.uri)
        typed = sys.stdin if sys.stdin is not None and sys.stdin.isatty() else None
        _invite(consent.url(), door.uri, show=not arguments.no_browser, paste=typed is not None)
        code = login.wait_for_code(door, consent, arguments.timeout, terminal.tell, typed)
        credentials = consent.credentials(code)
    login.write(file, credentials)
    terminal.say(f"Signed in{' as ' + credentials['account'] if credentials['account'] else ''}; kept in {file}.")
    terminal.tell("`grin-pipeline auth probe` tells whether GRIN lets this account in.")
    return 0


def _invite(url: str, back: str, *, show: bool, paste: bool) -> None:
    port = back.rpartition(":")[2]
    terminal.tell("Open this address in a browser, and sign in with the account that GRIN knows:\n")
    terminal.tell(f"{url}\n")
    terminal.tell(f"The browser comes back to {back}. If it runs on another machine, type there first:\n")
    terminal.tell(f"    ssh -L {port}:127.0.0.1:{port} THIS-MACHINE\n")
    if paste:
        terminal.tell("Or paste here the address of the last page, which the browser could not open.")
    if show and _on_a_desktop():
        webbrowser.open(url)


def _on_a_desktop() -> bool:
    screen = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    return "SSH_CONNECTION" not in os.environ and (sys.platform == "darwin" or bool(screen))


def _status(arguments: argparse.Namespace) -> int:
    from common.grin import probe  # noqa: PLC0415

    facts = probe.describe(config.load(arguments.config, classes=None).grin)
    if arguments.json:
        terminal.tell(json_line(facts))
    else:
        _show(facts)
    return 0 if facts["token"] else 3


def _show(facts: dict[str, Any]) -> None:
    kinds = {"service_account": "a service account's key", "authorized_user": "a person's consent"}
    kinds |= {"client_secret": "a client's secret, for `auth login`"}
    terminal.say(f"File:    {facts['file'] or 'none'}{', mode ' + facts['mode'] if facts['mode'] else ''}")
    if facts["kind"]:
        terminal.say(f"Kind:    {kinds.get(facts['kind'], facts['kind'])}")
        terminal.say(f"Account: {facts['account'] or 'nobody yet'}")
    if facts["token"]:
        terminal.say(f"Token:   Google gives one, for {facts['expires_in']} seconds.")
    else:
        terminal.complain(facts["reason"], facts["cure"])


def _probe(arguments: argparse.Namespace) -> int:
    from common.grin import probe  # noqa: PLC0415

    settings = config.load(arguments.config, classes=None)
    if not settings.global_.library:
        raise ConfigError(["Set global.library: the library's code at GRIN."])
    verdict = probe.probe(settings)
    if arguments.json:
        terminal.tell(json_line(verdict.as_dict()))
    elif verdict.good:
        terminal.tell(verdict.reason)
    else:
        terminal.complain(verdict.reason, verdict.cure)
    return 0 if verdict.good else 3


def _port(text: str) -> int:
    if not (text.isdecimal() and int(text) <= 65_535):
        raise argparse.ArgumentTypeError(f"{text!r} is no port")
    return int(text)
