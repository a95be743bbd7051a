"""A client for the store that a URL names, with what the ecosystem's own variables say of it.

AWS_*, GOOGLE_* and AZURE_* variables are read by the library; `~/.aws` is read here, since it does not.
"""

from __future__ import annotations

import configparser
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

from obstore.exceptions import BaseError
from obstore.store import AzureStore, GCSStore, ObjectStore, S3Store

from common.errors import Halt
from common.store import surroundings
from common.store.refusals import credentials, panicking
from common.store.urls import split

# Every wait has an end: to be let in, without a byte coming, for one whole request, and over all of its repetitions.
_CLIENT: dict[str, Any] = {
    "connect_timeout": timedelta(seconds=10),
    "read_timeout": timedelta(seconds=60),
    "timeout": timedelta(hours=1),
}
_RETRY: dict[str, Any] = {
    "max_retries": 20,
    "retry_timeout": timedelta(seconds=30),
    "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=5), "base": 2},
}
_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
_ELSEWHERE = {"gs": "GOOGLE_BASE_URL", "az": "AZURE_STORAGE_ENDPOINT"}
# Other ways to credentials that the library knows by itself.
_OTHERWISE = (
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_SKIP_SIGNATURE",
)
_CREDENTIALS = {"aws_access_key_id": "access_key_id", "aws_secret_access_key": "secret_access_key"}
_OPTIONAL = {"aws_session_token": "session_token"}


def connect(url: str) -> ObjectStore:
    """A client for that bucket and prefix; nothing is asked of the store yet.

    Halt when credentials are incomplete, or when a variable is such that the library could not digest it.
    """
    scheme, name, prefix = split(url)
    surroundings.require_lines(scheme)
    common: dict[str, Any] = {"prefix": prefix or None, "retry_config": _RETRY}
    try:
        with panicking(url):
            if scheme == "s3":
                config = _s3(name)
                authorities = surroundings.authorities(os.environ.get("AWS_CA_BUNDLE", ""))
                client = _client(config.get("aws_endpoint_url_s3", ""), authorities)
                return S3Store(name, client_options=client, config=config, **common)
            server = _ELSEWHERE[scheme]
            client = _client(surroundings.endpoint(scheme, os.environ.get(server, ""), server))
            return (GCSStore if scheme == "gs" else AzureStore)(name, client_options=client, **common)
    except (BaseError, ValueError, OSError):
        # Never the library's own words: they may hold what was set.
        what = f"The variables for the done bucket {url} are incomplete, or cannot be understood."
        raise Halt(what, f"{credentials(url)} A misspelt value of another one does the same.") from None


def _client(endpoint: str = "", authorities: bytes | None = None) -> Any:
    """Options of the HTTP client; `authorities` is a PEM of those that sign a private store's certificate."""
    http = {"allow_http": True} if endpoint.startswith("http://") else {}
    trusted = {"root_certificate": authorities} if authorities else {}
    return {**_CLIENT, **http, **trusted}


def _s3(name: str) -> Any:
    """What the library does not find out by itself: the profile's files, the endpoint's ways, the checksum."""
    profile = _profile()
    config = {} if any(map(os.environ.get, _OTHERWISE)) else _keys(profile)
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or profile.get("region")
    if algorithm := surroundings.checksum():
        config["checksum_algorithm"] = algorithm
    if region:
        config["region"] = region
    if endpoint := _endpoint(profile):
        # By this name it goes before what the library itself finds in the environment.
        config["aws_endpoint_url_s3"] = _with_bucket(endpoint.rstrip("/"), name)
    return config


def _endpoint(profile: dict[str, str]) -> str:
    origin = next(filter(os.environ.get, _ENDPOINTS), "")
    value = os.environ[origin] if origin else profile.get("endpoint_url", "")
    found = surroundings.endpoint("s3", value, origin or "endpoint_url of the profile")
    scheme, mark, rest = found.partition("://")
    # The library knows schemes in small letters only.
    return f"{scheme.lower()}{mark}{rest}"


def _with_bucket(endpoint: str, name: str) -> str:
    """The endpoint with the bucket in its host, where virtual-hosted style is asked for."""
    scheme, _, host = endpoint.partition("://")
    virtual = os.environ.get("AWS_VIRTUAL_HOSTED_STYLE_REQUEST", "").lower() in {"1", "true", "yes"}
    return f"{scheme}://{name}.{host}" if virtual and not host.startswith(f"{name}.") else endpoint


def _keys(profile: dict[str, str]) -> dict[str, str]:
    if not all(profile.get(name) for name in _CREDENTIALS):
        return {}
    wanted = {**_CREDENTIALS, **_OPTIONAL}
    return {ours: profile[name] for name, ours in wanted.items() if profile.get(name)}


def _profile() -> dict[str, str]:
    """What `~/.aws/credentials` and `~/.aws/config` say of $AWS_PROFILE; nothing where they are not, or are odd."""
    name = os.environ.get("AWS_PROFILE") or "default"
    found: dict[str, str] = {}
    places = (
        (os.environ.get("AWS_CONFIG_FILE") or "~/.aws/config", name if name == "default" else f"profile {name}"),
        (os.environ.get("AWS_SHARED_CREDENTIALS_FILE") or "~/.aws/credentials", name),
    )
    for path, section in places:
        parser = configparser.RawConfigParser(strict=False)
        try:
            parser.read(Path(path).expanduser(), encoding="utf-8")
        except (configparser.Error, UnicodeDecodeError, OSError, RuntimeError):
            continue
        if parser.has_section(section):
            found |= parser.items(section)
    return found
