"""Places to try: a folder always, a bucket where services are wanted."""

import pytest

from pipeline.storage.place import Place
from tests.support.buckets import BucketServer


@pytest.fixture(scope="session")
def s3(tmp_path_factory):
    """An S3 server."""
    server = BucketServer(tmp_path_factory.mktemp("s3"))
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(params=["folder", pytest.param("bucket", marks=pytest.mark.services)])
def place(request, tmp_path, monkeypatch):
    """An empty place of either kind."""
    if request.param == "folder":
        return Place.at(tmp_path / "place")
    server = request.getfixturevalue("s3")
    for name, value in server.variables.items():
        monkeypatch.setenv(name, value)
    return Place.at(f"s3://{server.bucket()}/some/prefix")
