"""One S3 server for the tests of this folder."""

from tests.objects.server import s3_server

__all__ = ["s3_server"]
