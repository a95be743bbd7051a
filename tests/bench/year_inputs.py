"""What the simulated year is told: each figure with its unit and where it comes from.

What is measured names its command, what is published its page. What is called an assumption is one: change it here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

DAY = 86_400  # seconds

# GRIN.
CONVERSIONS_A_DAY = 5_000  # books; GRIN's default, as Princeton's notes (pulibrary/Google_Books) give it
CONVERTED_POOL = 5_000  # archives, the oldest go; the same notes; `grin.converted_pool`
QUEUE_LIMIT = 50_000  # conversions that wait; GRIN Transfer (institutional/grin-transfer); `grin.queue_limit`
REQUESTS_A_SECOND = 5  # GRIN Transfer and pulibrary/grin-pipeline; `grin.requests_per_second`
REQUESTS_A_BOOK = 1.02  # one download (`common/grin/download.py`), 1/100 of a `_process` (`grin.process_batch`), lists

# Books. The measured corpus is the unit of all work: 480 pages, 1,442 files.
BOOK_MB = 36.0  # 10^6 bytes, encrypted; measured, docs/explanation/speed.md
PACKAGE_MB = 37.7  # goes to the store; measured, year_operations
SPREAD = 1.0  # standard deviation by mean; an assumption: 9 MB to over 300 MB have been published

# The line: config.yaml.
KEEP = 500  # books; `seed.keep`
WIP = (200, 50, 50, 200)  # books behind downloader, decryptor, extractor, modifier; `wip_limit`


@dataclass(frozen=True)
class Work:
    """What a book of BOOK_MB takes at one stage."""

    cpu: float  # seconds
    changes: float  # names renamed, linked, removed, modes set, and fsyncs
    creates: float  # files made: two write operations, as NFS writes them out when they are closed (nfs(5))
    looks: float  # opens, stats, listings, names looked up in vain: read operations, as if no client kept an answer
    written: float  # MB to the volume
    read: float  # MB from it, as if no cache had them

    @property
    def writes(self) -> float:
        """The volume's write operations."""
        return self.changes + 2 * self.creates


# Operations and MB: measured, `python -m tests.bench.year_operations`. CPU: the totals "without start and end" in
# docs/explanation/speed.md, shared out among the stages as `make bench` finds them.
LINE = {
    "files": {
        "downloader": Work(0.11, 23.8, 2.9, 116, 36.1, 0.0),
        "decryptor": Work(0.18, 15.6, 1.0, 59, 36.1, 36.1),
        "extractor": Work(0.52, 25.5, 1443.0, 81, 47.8, 36.2),
        "modifier": Work(0.16, 1317.7, 4.0, 1753, 37.7, 48.5),
        "uploader": Work(0.07, 195.0, 1.0, 942, 0.0, 37.7),
    },
    "tar": {
        "downloader": Work(0.11, 23.8, 2.9, 98, 36.1, 0.0),
        "decryptor": Work(0.18, 15.6, 1.0, 70, 36.1, 36.1),
        "extractor": Work(0.31, 23.0, 2.0, 172, 49.0, 36.2),
        "modifier": Work(0.16, 26.6, 4.0, 185, 37.7, 48.5),
        "uploader": Work(0.07, 44.9, 1.0, 280, 0.0, 37.7),
    },
}
UP_CPU = 0.05  # seconds of the orchestrator a book: `make bench`
UP_WRITES = 13.2  # its write operations a book: year_operations; its looks go by time, not by books, and are left out

# A node and its surroundings.
NODE_CPUS = 4  # an assumption
NODE_MEMORY = 8  # GB; an assumption: ten workers of at most 70 MB (speed.md), and their temporary files
NODE_WORKERS = 10  # an assumption; the autoscaler puts them where books wait
NODE_MB_A_SECOND = 524.0  # to the volume and the store: 500 MiB/s a client, "Amazon EFS performance specifications"
LINK_MB_A_SECOND = 125.0  # from GRIN to all nodes: 1 Gbit/s; an assumption
DOWNLOAD_MB_A_SECOND = 10.0  # of one download; an assumption


@dataclass(frozen=True)
class Volume:
    """A shared volume: limits as published, seconds an operation, prices in USD (0: none is known here; fill it in)."""

    writes: float  # operations a second
    reads: float
    write_seconds: float
    read_seconds: float
    mb_written: float  # a second
    mb_read: float
    gb_month: float = 0.0
    gb_written: float = 0.0
    gb_read: float = 0.0
    least_gb: float = 0.0
    metered: float = math.inf  # MB a second, of what is written and a third of what is read


_MIB = 1.048576
STORED_GB = 100.0  # on the volume; an assumption: 500 books in the line with three copies, and the ledger

# EFS: AWS, "Amazon EFS performance specifications", regional, the lower ends. A GB-month and bursting (50 KB/s for each
# GB stored, reads count a third): AWS, "Amazon EFS pricing"; transfers: factualminds.com, "Amazon EFS Pricing"
# (us-east-1, June 2026). Filestore: Google Cloud, "Filestore performance"; basic HDD: "Filestore pricing" (Oregon,
# 0.000274 a GiB and hour); its latencies as EFS's, an assumption.
VOLUMES = {
    "EFS, elastic": Volume(500_000, 900_000, 0.0027, 0.001, 1024 * _MIB, 20_480 * _MIB, 0.30, 0.06, 0.03),
    "EFS, bursting, 100 GB": Volume(
        7_000, 35_000, 0.0027, 0.001, 1024 * _MIB, 3_072 * _MIB, 0.30, metered=0.05 * STORED_GB
    ),
    "Filestore, zonal, 1 TiB": Volume(2_600, 9_200, 0.0027, 0.001, 88 * _MIB, 260 * _MIB, least_gb=1024),
    "Filestore, basic HDD, 1 TiB": Volume(
        1_000, 600, 0.0027, 0.001, 100 * _MIB, 100 * _MIB, 0.000274 * 730, least_gb=1024
    ),
}

# Prices in USD. Fargate, us-east-1, Linux on x86: vantage.sh, "AWS Fargate Pricing Explained".
CPU_HOUR = 0.04048
GB_HOUR = 0.004445


@dataclass(frozen=True)
class Trouble:
    """So many times a year, for so many hours: all assumptions."""

    times: int
    hours: int


OUTAGES = {
    "GRIN": Trouble(12, 12),  # nothing is downloaded or asked for; GRIN converts on
    "GRIN, long": Trouble(2, 72),
    "node": Trouble(6, 24),  # one node is lost
    "disk": Trouble(3, 8),  # the volume halts, and everything with it
    "store": Trouble(6, 4),  # nothing is uploaded
}
