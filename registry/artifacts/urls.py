"""Where artifacts are kept: a folder or any fsspec URL; its failures as sentences, with no secret in them."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, quote, quote_plus, unquote, urlsplit

from core.errors import HallmarkError, InputError, ResourceError, TransientError

SETTING = "HALLMARK_ARTIFACTS"
URL = re.compile(r"(?P<protocol>[A-Za-z][A-Za-z0-9+.-]*)://")
USER = re.compile(r"//[^/@\s]+@")
BUCKETS = ("s3", "s3a", "gs", "gcs", "abfs", "az")
"""Protocols whose URL begins with a bucket and whose credentials never belong into the URL."""
OPTIONS = {"s3": {"max_concurrency": 2}, "s3a": {"max_concurrency": 2}}
"""Parts of a file that are sent at the same time. s3fs would hold ten of 50 MB in memory, for each file."""
PACKAGES = {
    "s3": "'hallmark[s3]'",
    "s3a": "'hallmark[s3]'",
    "gs": "gcsfs",
    "gcs": "gcsfs",
    "abfs": "adlfs",
    "az": "adlfs",
}
CLIENTS = (
    "aiobotocore",
    "aiohttp",
    "azure",
    "botocore",
    "fsspec",
    "gcsfs",
    "google",
    "paramiko",
    "requests",
    "s3fs",
    "urllib3",
)
"""Packages whose errors mean that the service was not usable, not that we are wrong."""
NO_CREDENTIALS = (
    "NoCredentialsError",
    "PartialCredentialsError",
    "ProfileNotFound",
    "TokenRetrievalError",
    "UnauthorizedSSOTokenError",
)

REFUSED = (errno.EINVAL, errno.ENOSYS, errno.EPERM, errno.ENAMETOOLONG)


class ArtifactUrl:
    """The place of an artifact store. Nothing is opened yet.

    Args:
        url: a folder, `file://...`, or a URL of fsspec such as `s3://bucket/prefix`.

    Attributes:
        protocol: "file" for a folder.
        folder: the local folder; None for a remote place.
        place: the URL as it may be shown, recorded and logged: without user, password and query.

    Raises:
        InputError: the URL is not usable. The message never holds it.
    """

    def __init__(self, url: str | Path) -> None:
        self._url = str(url)
        match = URL.match(self._url)
        self.protocol = match["protocol"].lower() if match else "file"
        self._parts = _split(self._url) if match else SplitResult("", "", "", "", "")
        self.folder: Path | None = None
        self.place = self._url
        if self.protocol in ("file", "local"):
            path = unquote(self._url.partition("://")[2]) if match else self._url
            self.folder = Path(path).expanduser().absolute()
            self.place = str(self.folder)
            return
        if "@" in self._parts.netloc and self.protocol in BUCKETS:
            raise InputError(
                f"{SETTING} holds a user or password, which does not belong in a {self.protocol}:// address. "
                "Give credentials the way its tools take them: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
                "AWS_PROFILE, GOOGLE_APPLICATION_CREDENTIALS, ..."
            )
        if self.protocol in BUCKETS and not self._parts.netloc:
            raise InputError(f"{SETTING}: no bucket; expected {self.protocol}://BUCKET/PREFIX")
        self.place = f"{self.protocol}://{self._parts.netloc.rpartition('@')[2]}{self._parts.path}".rstrip(
            "/"
        )

    def connect(self) -> tuple[Any, str]:
        """The fsspec file system and the place's path in it.

        Raises:
            InputError: fsspec knows no such protocol.
            ResourceError: its package is not installed.
        """
        import fsspec

        with remote_errors(self):
            try:
                files, root = fsspec.core.url_to_fs(
                    self._url, use_listings_cache=False, **OPTIONS.get(self.protocol, {})
                )
            except ImportError as error:
                package = PACKAGES.get(self.protocol)
                advice = f"pip install {package}" if package else self.without_secrets(str(error))
                raise ResourceError(
                    f"{self.place}: the package for {self.protocol}:// is not installed: {advice}"
                ) from None
            except ValueError as error:
                raise InputError(
                    f"{self.place}: {self.without_secrets(str(error))}. "
                    "Use a folder, s3://, gs://, or another URL of fsspec."
                ) from None
        return files, str(root).rstrip("/")

    def without_secrets(self, text: str) -> str:
        """The text with every form of the URL's user, password and query starred."""
        text = text.replace(self._url, self.place)
        given = [
            self._parts.username,
            self._parts.password,
            self._parts.query,
            *re.split("[&=]", self._parts.query)[1::2],
        ]
        plain = [unquote(value) for value in given if value]
        forms = {
            form
            for value in [*filter(None, given), *plain]
            for form in (value, quote(value, safe=""), quote_plus(value))
        }
        for secret in sorted(forms, key=len, reverse=True):
            text = text.replace(secret, "***")
        return USER.sub("//***@", text)


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise InputError(
            f"{SETTING} is not a URL; expected a folder, s3://BUCKET/PREFIX, or another URL of fsspec"
        ) from None
    return parts


@contextmanager
def remote_errors(url: ArtifactUrl) -> Iterator[None]:
    """Turn what fsspec and its clients raise into our errors; theirs is not chained: it may hold the URL.

    Raises:
        ResourceError: the bucket does not exist, access is denied, or credentials are missing.
        TransientError: the service is away or too slow; trying again can help.
    """
    try:
        yield
    except HallmarkError:
        raise
    except Exception as error:
        if not (
            isinstance(error, OSError | ValueError) or type(error).__module__.partition(".")[0] in CLIENTS
        ):
            raise
        failure = _translated(error, url)
    else:
        return
    raise failure


def _translated(error: Exception, url: ArtifactUrl) -> ResourceError:
    reason = url.without_secrets(" ".join(f"{type(error).__name__}: {error}".split()))[:300]
    if isinstance(error, FileNotFoundError):
        return ResourceError(
            f"{url.place}: there is no such place ({reason}). Make the bucket, or correct {SETTING}."
        )
    if isinstance(error, PermissionError) or type(error).__name__ in NO_CREDENTIALS:
        return ResourceError(
            f"{url.place}: access was denied ({reason}). Check the credentials (AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, AWS_PROFILE, GOOGLE_APPLICATION_CREDENTIALS, ...) and that they may "
            "list, read, write and delete there."
        )
    if isinstance(error, ValueError) or getattr(error, "errno", None) in REFUSED:
        return ResourceError(
            f"{url.place}: the service refused the request ({reason}). "
            f"Check {SETTING} and the settings of its client."
        )
    return TransientError(
        f"{url.place}: cannot be reached ({reason}). "
        f"Check the network, the service and {SETTING}, then run the same command again."
    )
