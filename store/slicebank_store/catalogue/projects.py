"""How each project names patients and studies; fixed when the project is made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, Select, insert, select, update

from slicebank_store.catalogue.engine import Database
from slicebank_store.catalogue.tables import projects
from slicebank_store.errors import PolicyFixed
from slicebank_store.pseudonyms import PatientPolicy, Policies, UidPolicy


class Projects:
    """The part of the catalogue that knows of projects."""

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self._database = database
        self._clock = clock

    def policies(self, project: str) -> Policies:
        """The policies of a project; those of a project that is not made yet are the defaults."""
        with self._database.read() as connection:
            return _stored(connection, project) or Policies()

    def settle(self, project: str, *, uids: UidPolicy | None = None, patients: PatientPolicy | None = None) -> Policies:
        """Makes a project where there is none, or checks that it is as the settings say.

        Args:
            project: the project.
            uids: what is asked for; None for what the project has, or the default.
            patients: the same for PatientIDs.

        Raises:
            PolicyFixed: the project was made with another policy.
        """

        def settle(connection: Connection) -> Policies:
            stored = _stored(connection, project)
            if stored is None:
                made = Policies(uids or UidPolicy.KEEP, patients or PatientPolicy.HASH)
                connection.execute(
                    insert(projects).values(
                        project=project,
                        uid_policy=made.uids.value,
                        patient_policy=made.patients.value,
                        created_at=self._clock(),
                    )
                )
                return made
            for what, asked, fixed in (("uid", uids, stored.uids), ("patient", patients, stored.patients)):
                if asked is not None and asked != fixed:
                    msg = (
                        f"Project {project} was made with {what}_policy={fixed.value}, and what is stored cannot be named another "
                        f"way: set SLICEBANK_{what.upper()}_POLICY={fixed.value}, or choose another SLICEBANK_PROJECT."
                    )
                    raise PolicyFixed(msg)
            return stored

        return self._database.transact(settle)

    def key_check(self, project: str) -> str | None:
        """What `ProjectKeys.check` says of the project's key; None before it was first used."""
        with self._database.read() as connection:
            found: str | None = connection.execute(_key_check(project)).scalar_one_or_none()
        return found

    def agree_on_key(self, project: str, check: str) -> bool:
        """Notes which key a project has, where nobody has yet; whether it is this one."""

        def agree(connection: Connection) -> bool:
            known: str | None = connection.execute(_key_check(project).with_for_update()).scalar_one_or_none()
            if known is None:
                connection.execute(update(projects).where(projects.c.project == project).values(key_check=check))
            return known in (None, check)

        return self._database.transact(agree)


def _key_check(project: str) -> Select[Any]:
    return select(projects.c.key_check).where(projects.c.project == project)


def _stored(connection: Connection, project: str) -> Policies | None:
    row = connection.execute(select(projects).where(projects.c.project == project)).first()
    return None if row is None else Policies(UidPolicy(row.uid_policy), PatientPolicy(row.patient_policy))
