"""The proxy does to requests what it says, and nothing else."""

from __future__ import annotations

import hashlib
from datetime import timedelta

import obstore
import pytest
from obstore.exceptions import BaseError
from obstore.store import S3Store

from tests.objects import proxy as faults
from tests.objects.proxy import Proxy, proxying
from tests.objects.server import Server

_DATA = bytes(range(256)) * 1000


def _through(server: Server, proxy: Proxy, retries: int = 0) -> S3Store:
    retry = {"max_retries": retries, "backoff": {"init_backoff": timedelta(milliseconds=5)}}
    return S3Store(
        server.bucket,
        endpoint=proxy.endpoint,
        access_key_id=server.access_key,
        secret_access_key=server.secret_key,
        region=server.region,
        client_options={"allow_http": True, "timeout": "5s"},
        retry_config={**retry, "retry_timeout": timedelta(seconds=20)},
    )


def test_a_proxy_without_faults_changes_nothing(s3_server: Server) -> None:
    """Objects, parts and listings go through it, signed for its own address."""
    with proxying(Proxy(s3_server.endpoint)) as proxy:
        store = _through(s3_server, proxy)
        obstore.put(store, "plain/small", _DATA)
        obstore.put(store, "plain/parts", _DATA * 45, chunk_size=5 << 20)
        assert bytes(obstore.get(store, "plain/small").bytes()) == _DATA
        assert bytes(obstore.get(store, "plain/parts").bytes()) == _DATA * 45
        assert obstore.head(s3_server.store(), "plain/parts")["size"] == len(_DATA) * 45
        assert any("partNumber=3" in target for _, target in proxy.seen)
        assert not proxy.counts


@pytest.mark.parametrize(
    ("fault", "carried_out"),
    [
        (faults.REFUSED, False),
        (faults.SLOW_DOWN, False),
        (faults.RESET_BEFORE, False),
        (faults.CUT_BODY, False),
        (faults.ANSWER_LOST, True),
        (faults.RESET_AFTER, True),
        (faults.CUT_ANSWER, True),
    ],
)
def test_each_fault_is_what_it_is_called(s3_server: Server, fault: str, carried_out: bool) -> None:
    """The client is told of an error, and the object is there only where the fault says so, and whole."""
    key = f"faults/{fault}"
    with proxying(Proxy(s3_server.endpoint, rate=1, faults=(fault,))) as proxy:
        with pytest.raises(BaseError):
            obstore.put(_through(s3_server, proxy), key, _DATA)
        assert proxy.counts == {fault: 1}
    listed = [each["path"] for batch in s3_server.store().list("faults") for each in batch]
    assert (key in listed) == carried_out
    if carried_out:
        assert bytes(obstore.get(s3_server.store(), key).bytes()) == _DATA


def test_a_late_answer_is_an_answer(s3_server: Server) -> None:
    """It arrives, only later."""
    with proxying(Proxy(s3_server.endpoint, rate=1, faults=(faults.LATE,), lateness=0.2)) as proxy:
        obstore.put(_through(s3_server, proxy), "late", b"x")
        assert proxy.counts == {faults.LATE: 1}


def test_a_server_that_is_down_answers_nobody(s3_server: Server) -> None:
    """Every connection breaks, until it is up again."""
    with proxying(Proxy(s3_server.endpoint, down=True)) as proxy:
        with pytest.raises(BaseError):
            obstore.put(_through(s3_server, proxy), "down", b"x")
        proxy.down = False
        obstore.put(_through(s3_server, proxy), "down", b"x")


def test_with_retries_everything_arrives_at_last(s3_server: Server) -> None:
    """A client that tries again gets every object there through many faults, as long as no answer is cut."""
    told = tuple(fault for fault in faults.FAULTS if fault != faults.CUT_ANSWER)
    with proxying(Proxy(s3_server.endpoint, rate=0.3, faults=told, lateness=0.05, seed=1)) as proxy:
        store = _through(s3_server, proxy, retries=10)
        for number in range(40):
            obstore.put(store, f"many/{number}", _DATA[number:], chunk_size=5 << 20)
        assert len(proxy.counts) >= 5
    for number in range(40):
        data = bytes(obstore.get(s3_server.store(), f"many/{number}").bytes())
        assert hashlib.sha256(data).digest() == hashlib.sha256(_DATA[number:]).digest()
