"""What the client of a bucket or the operating system says, as one line a user can mend."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager

from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError

from pipeline.errors import LabError

_CODE, _STATUS = re.compile(r"<Code>(\w+)</Code>"), re.compile(r"status code: (\d{3}[^:<]*)")
_WRONG_CREDENTIALS = {
    "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken",
    "AuthorizationHeaderMalformed", "TokenRefreshRequired",
}  # fmt: skip


@contextmanager
def one_line(doing: str, address: str) -> Iterator[None]:
    """Turn trouble with a place into one line.

    Args:
        doing: what is done, such as "write runs/a.parquet".
        address: of the place.

    Raises:
        LabError: for every error of the operating system and of the client.
    """
    try:
        yield
    except BaseError as error:
        raise _of_bucket(f"cannot {doing} in {address}", address, str(error), error) from error
    except OSError as error:
        if address.startswith("s3://"):  # the client says so of a bucket that is missing
            raise _of_bucket(f"cannot {doing} in {address}", address, str(error), error) from error
        raise _of_folder(f"cannot {doing} in {address}", error) from error


def _of_bucket(given: str, address: str, text: str, error: Exception) -> LabError:
    code = next(iter(_CODE.findall(text)), "")
    status = next(iter(_STATUS.findall(text)), "").strip()
    bucket = address.removeprefix("s3://").partition("/")[0]
    if code == "NoSuchBucket":
        parts = (
            f"no bucket {bucket}", "a bucket that exists",
            f"make it (aws s3 mb s3://{bucket}), or name another one by LNL_STORE",
        )  # fmt: skip
    elif code in _WRONG_CREDENTIALS or isinstance(error, UnauthenticatedError):
        parts = (
            f"{given}: {code or status}", "credentials that the storage knows",
            "look at AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN and AWS_REGION",
        )  # fmt: skip
    elif code == "AccessDenied" or isinstance(error, PermissionDeniedError) or "403" in status:
        parts = (
            f"{given}: {code or status or 'no permission'}",
            "the rights to list, read, write and delete its objects",
            "ask the owner of the bucket, or use other credentials (AWS_*)",
        )  # fmt: skip
    elif "169.254." in text or "Missing" in text:  # asked the host, or half of a pair
        parts = (
            f"no credentials for {address}",
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment, or a role of the host",
            "export AWS_ACCESS_KEY_ID=... AWS_SECRET_ACCESS_KEY=...",
        )  # fmt: skip
    elif not status and ("error sending request" in text or "HTTP error" in text):
        parts = (
            f"{given}: no answer", "an address that answers",
            "look at AWS_ENDPOINT_URL, AWS_REGION and the network",
        )  # fmt: skip
    else:
        parts = (
            f"{given}: {code or status or text.partition('Debug source')[0]}",
            "a storage of the kind of S3", "look at AWS_ENDPOINT_URL, AWS_REGION and its log",
        )  # fmt: skip
    return LabError(*parts, exit_code=1)


def _of_folder(given: str, error: OSError) -> LabError:
    said = error.strerror or str(error)
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        allowed, remedy = "room for it", "make room, or set LNL_STORE to another folder"
    elif error.errno in {errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK}:
        allowed = "a file system with hard links, without which two programs compute one run"
        remedy = "set LNL_STORE to a folder on another one"
    else:
        allowed = "a folder that can be read and written"
        remedy = (
            "ask its owner to share it (umask 002, chmod -R g+w), or set LNL_STORE to a folder of "
            "your own"
        )
    return LabError(f"{given}: {said}", allowed, remedy, exit_code=1)
