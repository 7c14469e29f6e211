"""Does a Prefect server answer at an address, and if not, why, and what is to be done?"""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from core.errors import HallmarkError, InputError, ResourceError, TransientError

SECONDS = 5.0
"""How long an answer may take."""


def shown(url: str) -> str:
    """An address as messages show it: without the user and the password that it may hold."""
    return re.sub(r"^([^/]*://)?.*@", r"\1", url, flags=re.DOTALL)


def no_url(url: str, named_by: str) -> InputError | None:
    """What to say of an address that is no URL, which Prefect itself would not survive; None where it is
    one.
    """
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and parts.hostname and (parts.port or True)
    except ValueError:
        good = False
    if good:
        return None
    where = f"{named_by}: {shown(url)!r}" if named_by else repr(shown(url))
    return InputError(f"{where} is not the URL of a Prefect API, as in http://127.0.0.1:4200/api.")


@dataclass(frozen=True)
class Address:
    """Where a Prefect server is said to be.

    Attributes:
        url: of its API, as in http://127.0.0.1:4200/api.
        named_by: who says so, as in PREFECT_API_URL.
        sign_in: "user:password"; None for none.
        key: of Prefect Cloud; None for none.
        verify: what a certificate is checked against; False for nothing.
        remedy: what to do when nothing answers.
    """

    url: str
    named_by: str = ""
    sign_in: str | None = None
    key: str | None = None
    verify: ssl.SSLContext | bool = True
    remedy: str = "Start one: hallmark up"

    def problem(self) -> HallmarkError | None:
        """What keeps us from using it: a `TransientError` where the server may only be starting or away,
        another error where waiting cannot help; None where it answers.
        """
        import httpx

        if (bad := no_url(self.url, self.named_by)) is not None:
            return bad
        where = f"{self.named_by}: {shown(self.url)}" if self.named_by else shown(self.url)
        user, _, password = (self.sign_in or "").partition(":")
        try:
            answer = httpx.get(
                f"{self.url.rstrip('/')}/{'health' if self.key else 'admin/version'}",
                auth=(user, password) if self.sign_in else None,
                headers={"Authorization": f"Bearer {self.key}"} if self.key else None,
                verify=self.verify
                if self.url.startswith("https")
                else False,  # reading certificates takes time
                timeout=SECONDS,
            )
        except httpx.HTTPError as error:
            if "SSL" in str(error) or "CERTIFICATE" in str(error):
                return ResourceError(
                    f"{where}: no secure connection ({error}). For a certificate of your own set "
                    "PREFECT_API_SSL_CERT_FILE; a server without TLS is at http://."
                )
            late = isinstance(error, httpx.TimeoutException)
            what = "not in time" if late else type(error).__name__
            return TransientError(f"{where}: no Prefect server answers ({what}). {self.remedy}")
        return self._judged(answer, where)

    def _judged(self, answer: Any, where: str) -> HallmarkError | None:
        if answer.status_code in (401, 403):
            variable = "PREFECT_API_KEY" if self.key else "PREFECT_API_AUTH_STRING"
            value = "a key that may use it" if self.key else "its user:password"
            return ResourceError(
                f"{where}: the server refuses our sign-in (HTTP {answer.status_code}). Set {variable} to "
                f"{value}."
            )
        if answer.status_code >= 500:
            return TransientError(
                f"{where}: the server is not well (HTTP {answer.status_code}). Look at its log, then run the "
                "same command again."
            )
        if answer.status_code != 200 or not isinstance(_json(answer), (str, bool)):
            return ResourceError(
                f"{where}: something answers that is no Prefect API (HTTP {answer.status_code}). The address "
                "of a Prefect server ends with /api."
            )
        return None


def _json(answer: Any) -> Any:
    try:
        return answer.json()
    except ValueError:
        return None
