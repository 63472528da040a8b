"""What a database's failures mean for those who asked: one error of ours, with a sentence that says what to do next."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy import exc
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, NotSupportedError, ProgrammingError

from slicebank_store.errors import BadKey, CatalogueUnavailable

_AWAY = "The catalogue's database does not answer: check that it runs and that SLICEBANK_CATALOGUE_URL names it, then try again."
_BUSY = "The catalogue is held by another process for longer than any of ours needs: try again; if it lasts, see what holds it."
_CROWDED = (
    "The catalogue's database has no connection left: raise its max_connections or run fewer processes, then try again."
)
_FULL = "The disk of the catalogue is full: free space there and try again; what was accepted is kept."
_REFUSED = "The catalogue's database refuses us: correct user, password, database name and rights behind SLICEBANK_CATALOGUE_URL."
_READ_ONLY = "The catalogue can only be read: give this process the right to write it, or name the primary server."
_BROKEN = "The catalogue's file is damaged or is no catalogue: restore it from a backup."
_SLOW = "The catalogue's database took too long: try again; if it lasts, see its load and disk."

# By the beginning of SQLite's error name, or of a SQLSTATE (PostgreSQL manual, appendix A).
_SENTENCES: Final = (
    ("SQLITE_BUSY", _BUSY),
    ("SQLITE_LOCKED", _BUSY),
    ("SQLITE_FULL", _FULL),
    ("SQLITE_READONLY", _READ_ONLY),
    ("SQLITE_PERM", _REFUSED),
    ("SQLITE_CORRUPT", _BROKEN),
    ("SQLITE_NOTADB", _BROKEN),
    ("25006", _READ_ONLY),
    ("25P03", _SLOW),  # our transaction sat idle, because this process was paused
    ("28", _REFUSED),
    ("3D000", _REFUSED),
    ("40", _BUSY),  # serialization failure or deadlock, time and again
    ("42501", _REFUSED),
    ("53100", _FULL),
    ("53300", _CROWDED),
    ("55P03", _BUSY),
    ("57014", _SLOW),
    ("58", _FULL),  # system errors: mostly a data folder that cannot be written
)
_COLLISIONS = frozenset({"40001", "40P01"})
_PERMISSION_DENIED = "42501"


def code_of(error: DBAPIError) -> str:
    """The SQLSTATE of PostgreSQL or the error name of SQLite; empty where the connection itself failed."""
    return str(getattr(error.orig, "sqlstate", None) or getattr(error.orig, "sqlite_errorname", None) or "")


def collided(error: DBAPIError) -> bool:
    """Whether two transactions got in each other's way, so that running this one again may help."""
    return isinstance(error, IntegrityError) or code_of(error) in _COLLISIONS


@contextmanager
def translated() -> Iterator[None]:
    """Turns what a database raises into errors of the store.

    Broken constraints stay as they are, because callers decide by them; so do statements that are wrong, which are bugs of ours.

    Raises:
        CatalogueUnavailable: the database is away, refuses, is full, or was held by others for too long.
        BadKey: a value cannot be stored: text with a NUL, or too long.
    """
    try:
        yield
    except exc.TimeoutError as error:  # of the pool
        raise CatalogueUnavailable(_BUSY) from error
    except (IntegrityError, NotSupportedError):
        raise
    except DataError:
        # Without its cause, which repeats the value.
        msg = "A name or value is too long for the catalogue, or holds a NUL character: correct it."
        raise BadKey(msg) from None
    except DBAPIError as error:
        code = code_of(error)
        if isinstance(error, ProgrammingError) and code != _PERMISSION_DENIED:
            raise
        found = (sentence for start, sentence in _SENTENCES if code.startswith(start))
        raise CatalogueUnavailable(next(found, _AWAY)) from error
