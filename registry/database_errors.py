"""Database failures as sentences, with no password in them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote, quote_plus

from sqlalchemy import URL
from sqlalchemy.exc import DataError, DBAPIError, NoResultFound, StatementError

from core.errors import HallmarkError, InputError, IntegrityError, ResourceError, TransientError

_SECRET_OPTIONS = ("password", "sslpassword")
_PERMANENT = (
    "authentication",
    "password",
    "does not exist",
    "pg_hba.conf",
    "permission denied",
    "must be owner",
)


def describe(url: URL) -> str:
    """A database URL that is safe to print: password starred, options that could hold one left out."""
    shown = {name: value for name, value in url.query.items() if name in ("host", "port")}
    return url.set(query=shown).render_as_string(hide_password=True)


def without_secrets(text: str, url: URL) -> str:
    """The text with every form of the URL's passwords starred."""
    given = [url.password, *(url.query.get(name) for name in _SECRET_OPTIONS)]
    secrets = {
        form
        for value in given
        if value
        for form in (str(value), quote(str(value), safe=""), quote_plus(str(value)))
    }
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, "***")
    return text


@contextmanager
def database_errors(url: URL) -> Iterator[None]:
    """Turn what a driver raises into our errors. The driver's is not chained, as it may hold parameters.

    Raises:
        TransientError: locked, or the server is away; trying again can help.
        ResourceError: wrong password, no permission, disk full.
        IntegrityError: the file is not a database or is damaged, a constraint of the schema was violated, or
            a row that another one names is not there.
        InputError: a value that the database cannot hold.
    """
    try:
        yield
    except StatementError as error:
        raise _translated(error, url) from None
    except NoResultFound:
        raise IntegrityError(
            f"{describe(url)}: a row that another row names is not there. See: hallmark verify"
        ) from None
    except OverflowError:  # what SQLite cannot hold: one more than the largest number
        raise IntegrityError(
            f"{describe(url)}: a number is larger than the database can hold, so a row was damaged. "
            "See: hallmark verify"
        ) from None
    except UnicodeDecodeError as error:
        # Of all that is decoded here only what SQLite says about a damaged schema, which it quotes.
        raise IntegrityError(
            _damaged(error.object.decode(errors="backslashreplace"), describe(url))
        ) from None


def _translated(error: StatementError, url: URL) -> HallmarkError:
    reason = without_secrets(" ".join(str(error.orig or error).split()), url)
    place = describe(url)
    if not isinstance(error, DBAPIError) or isinstance(error, DataError):
        return InputError(f"{place}: a value cannot be recorded: {reason}")
    if url.get_backend_name() == "sqlite":
        return _sqlite(reason, place)
    return _postgresql(error, reason, place)


def _sqlite(reason: str, place: str) -> HallmarkError:
    if "locked" in reason or "busy" in reason:
        return TransientError(
            f"{place}: locked by another process for too long. "
            "Wait until that one is done, then run the same command again."
        )
    if "not a database" in reason or "malformed" in reason:
        return IntegrityError(_damaged(reason, place))
    if "full" in reason:
        return ResourceError(f"{place}: the disk is full. Free some space and run the same command again.")
    if "readonly" in reason or "unable to open" in reason or "disk I/O" in reason:
        return ResourceError(
            f"{place}: cannot be opened for writing ({reason}). "
            "Check its permissions or set HALLMARK_HOME to a folder you own."
        )
    return IntegrityError(f"{place}: refused by the database: {reason}")


def _damaged(reason: str, place: str) -> str:
    return (
        f"{place}: not an intact SQLite database ({reason}). "
        "Restore it from a backup, or move it away to start a new registry."
    )


def _postgresql(error: DBAPIError, reason: str, place: str) -> HallmarkError:
    state = str(getattr(error.orig, "sqlstate", None) or "")
    if state == "55P03":
        return TransientError(
            f"{place}: another process held the registry's write lock for too long. "
            "Run the same command again."
        )
    if state.startswith("53"):
        return ResourceError(f"{place}: the server lacks a resource: {reason}")
    if state.startswith(("08", "57", "40")) or (not state and not any(word in reason for word in _PERMANENT)):
        return TransientError(
            f"{place}: the server is away: {reason}. Check that it runs, then run the same command again."
        )
    if not state or state.startswith(("28", "3D", "42501")):
        return ResourceError(
            f"{place}: cannot connect: {reason}. Check user, password and database in HALLMARK_REGISTRY_URL."
        )
    return IntegrityError(f"{place}: refused by the database: {reason}")
