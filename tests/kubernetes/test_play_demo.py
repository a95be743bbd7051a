"""The demo's manifest is played on the container engine: struck, scaled and rolled over, it brings its books home."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.containers.conftest import images  # noqa: F401 - a fixture
from tests.containers.copies import assert_nothing_twice
from tests.containers.project import STAGES
from tests.kubernetes.demo import DEMO, PATIENCE, Demo, changed_setting, hurried, spec_of
from tests.kubernetes.inside import assert_is_as_said
from tests.kubernetes.rendered import of_kind, rendered

pytestmark = pytest.mark.slow
Figure = Callable[[str], None]


@pytest.fixture(scope="module")
def demo(images: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:  # noqa: F811
    """The demo's pods, as the manifest says; the books wait before the decryptor and before the uploader."""
    if os.geteuid() != 0:
        pytest.skip("ONLY ROOT MAY MOUNT AND CHANGE OWNERS AS A KUBELET DOES: the manifests were not played.")
    with Demo(tmp_path_factory.mktemp("node")) as playing:
        playing.apply(hurried(rendered(DEMO), uploader=4))
        playing.until_settled("The orchestrator", "orchestrator")
        for stage in ("decryptor", "uploader"):
            playing.order("pause", stage)
        yield playing


def test_every_pod_is_as_its_manifest_says(demo: Demo, figure: Figure) -> None:
    """User, groups, capabilities, root, environment, volumes and limits, seen from inside of each running pod."""
    took = demo.until_settled("All pods ready")
    documents = rendered(DEMO)
    (settings,) = (one["data"] for one in of_kind(documents, "ConfigMap") if "settings" in one["metadata"]["name"])
    for pod in demo.pods():
        assert_is_as_said(pod, spec_of(documents, pod), settings)
    assert reaches(demo, "downloader")
    assert not reaches(demo, "decryptor")
    ready = [pod.ready_since - pod.created for pod in demo.pods()]
    figure(f"{len(ready)} pods ready {min(ready):.1f} to {max(ready):.1f} s after they were made; waited {took:.1f} s")


def reaches(demo: Demo, stage: str) -> bool:
    """Whether a stage's pod can speak to the simulator, as the network policies say who may."""
    asks = "import socket; socket.create_connection(('simulator', 8000), 3)"
    return demo.pod(stage).ask("python3", "-c", asks)[0] == 0


def test_struck_scaled_and_rolled_over_all_come_home(demo: Demo, tmp_path: Path, figure: Figure) -> None:
    """Pods killed and deleted at random, four decryptors, a rolling update, one again: no book is lost or doubled."""
    demo.until_settled("All pods ready")
    demo.until(lambda: len(demo.board.tokens()) == 20, PATIENCE, "All books on the board")
    demo.scale(decryptor=4, extractor=2)
    four = demo.until_settled("Four decryptors, two extractors")
    demo.order("resume", "decryptor")
    struck = strike(demo)
    demo.order("pause", "decryptor")
    demo.until_settled("All pods back")
    left = demo.before("decryptor")
    update = hurried(changed_setting(tmp_path, "GRIN_PIPELINE_GLOBAL__POLL=0.3"), uploader=4)
    demo.order("resume", "decryptor")
    rolled = demo.roll(update)
    both = overlaps(demo)
    demo.scale(decryptor=1, extractor=1)
    one = demo.until_settled("One of each")
    demo.until(lambda: demo.before("modifier") == 0, PATIENCE, "All books before the uploader")
    stuck = stop_the_uploader(demo)

    began = time.monotonic()
    demo.until(demo.home, PATIENCE, "All books home")
    demo.until(lambda: not demo.board.claims(), PATIENCE, "No claims left")
    board = demo.board
    board.grin = demo.grin(tmp_path)
    again = assert_nothing_twice(board)
    # Whoever was deleted has given back what it had, long before its grace was over.
    late = [pod.told() for pod in demo.history if pod.exit_code and pod.name not in demo.killed]
    assert not late, "\n".join(late)
    figure(f"scaled to four in {four:.1f} s, to one in {one:.1f} s")
    figure(f"rolled over in {rolled:.1f} s, {left} books before; old beside new {min(both):.1f} to {max(both):.1f} s")
    figure(f"struck: {', '.join(struck)}; begun again: {dict(+again)}; taken back: {dict(board.taken_back())}")
    figure(f"a stopped worker was started again after {stuck:.1f} s; home {time.monotonic() - began:.1f} s later")


def strike(demo: Demo) -> list[str]:
    """Kill and delete pods at random while the decryptors work; what was struck."""
    struck = []
    for number in range(8):
        demo.until(lambda: at_work_or_done(demo), PATIENCE, "Work")
        one = demo.delete_one() if number % 2 else demo.kill_one()
        struck.append(f"{'-' if number % 2 else '+'}{one.partition('-')[0]}")
        time.sleep(demo.dice.uniform(0, 0.5))
    return struck


def at_work_or_done(demo: Demo) -> bool:
    """Whether a book is in hand, or none is left for the stages that are not paused."""
    return any(demo.at_work(stage) for stage in STAGES) or demo.before("modifier") == 0


def overlaps(demo: Demo) -> list[float]:
    """How long old and new workers of each stage were on the board at once; in the end only new ones are left."""
    assert all(pod.ask("printenv", "GRIN_PIPELINE_GLOBAL__POLL")[1] == "0.3\n" for pod in demo.pods(*STAGES))
    return [demo.overlap(stage) for stage in STAGES]


def stop_the_uploader(demo: Demo) -> float:
    """SIGSTOP with a book in hand: the liveness probe sees it, and the container starts again in the same pod."""
    demo.order("resume", "uploader")
    pod, _ = demo.stop_at_work("uploader")
    restarts, first = pod.restarts, pod.pid()
    took = demo.until(lambda: pod.restarts > restarts and pod.ready, PATIENCE, "The uploader anew")
    assert demo.pod("uploader") is pod
    assert pod.pid() != first
    assert any("unhealthy liveness" in event for event in pod.events)
    return took
