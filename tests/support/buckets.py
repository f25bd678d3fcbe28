"""An S3 server on loopback (moto) and empty buckets in it."""

import sys
import urllib.request
import uuid
from pathlib import Path

from tests.support.servers import Program, free_port

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "reader",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_REGION": "us-east-1",
}


class BucketServer:
    """A server of its own, started by `start` and ended by `stop`.

    Args:
        folder: for its log.
    """

    def __init__(self, folder: Path) -> None:
        port = free_port()
        self.address = f"http://127.0.0.1:{port}"
        self.variables = CREDENTIALS | {"AWS_ENDPOINT_URL": self.address}
        self._program = Program(
            [str(Path(sys.executable).parent / "moto_server"), "-H", "127.0.0.1", "-p", str(port)],
            {}, self.address, folder / "s3.log",
        )  # fmt: skip
        self.start, self.stop = self._program.start, self._program.stop

    def bucket(self) -> str:
        """Name of a new bucket."""
        name = f"lab-{uuid.uuid4().hex[:12]}"
        asked = urllib.request.Request(f"{self.address}/{name}", method="PUT")
        urllib.request.urlopen(asked, timeout=60).close()
        return name
