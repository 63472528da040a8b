"""The catalogue: everything that is known, in one SQL database."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Self

from slicebank_store.catalogue.arriving import Arriving
from slicebank_store.catalogue.backlog import Backlog
from slicebank_store.catalogue.bags import Bags
from slicebank_store.catalogue.bringing import Bringing
from slicebank_store.catalogue.deletions import Deletions
from slicebank_store.catalogue.doomed import Doomed
from slicebank_store.catalogue.engine import Database
from slicebank_store.catalogue.evaluations import Evaluations
from slicebank_store.catalogue.groups import Groups
from slicebank_store.catalogue.heads import Heads
from slicebank_store.catalogue.jobs import Jobs
from slicebank_store.catalogue.known_uploads import KnownUploads
from slicebank_store.catalogue.on_embedded import OnEmbedded
from slicebank_store.catalogue.predictions import Predictions
from slicebank_store.catalogue.projects import Projects
from slicebank_store.catalogue.qido import Qido
from slicebank_store.catalogue.schema import check_schema, upgrade_schema
from slicebank_store.catalogue.series import Series
from slicebank_store.catalogue.standstill import Standstill
from slicebank_store.catalogue.submissions import Submissions
from slicebank_store.catalogue.upkeep import Upkeep


class Catalogue:
    """Series, bags, jobs, heads and predictions of all projects. Threads and processes may share it.

    Attributes:
        series: series and revisions.
        bags: bags.
        bringing: bags made elsewhere.
        jobs: the job ledger.
        backlog: counts of unfinished jobs.
        heads: head versions.
        predictions: answers.
        evaluations: heads measured on other cohorts.
        on_embedded: heads that answer about every new bag.
        submissions: from uploads to jobs.
        known_uploads: uploads by what their sender calls them.
        arriving: jobs of studies that are still arriving.
        groups: jobs asked for together.
        qido: searches of DICOMweb.
        projects: policies.
        deletions: removing series, bags and heads.
        doomed: blobs that deletions left to be deleted.
        upkeep: what verifying and collecting ask.
        standstill: jobs that nobody moves.
    """

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self.series = Series(database)
        self.bags = Bags(database)
        self.bringing = Bringing(database, clock)
        self.jobs = Jobs(database, clock)
        self.backlog = Backlog(database)
        self.heads = Heads(database, clock)
        self.predictions = Predictions(database, clock)
        self.evaluations = Evaluations(database, clock)
        self.on_embedded = OnEmbedded(database, clock)
        self.submissions = Submissions(database, clock)
        self.known_uploads = KnownUploads(database)
        self.arriving = Arriving(database, clock)
        self.groups = Groups(database, clock)
        self.qido = Qido(database)
        self.projects = Projects(database, clock)
        self.deletions = Deletions(database, clock)
        self.doomed = Doomed(database)
        self.upkeep = Upkeep(database, clock)
        self.standstill = Standstill(database, clock)

    @classmethod
    def open(cls, url: str, *, clock: Callable[[], float] = time.time) -> Self:
        """Opens a catalogue of this version.

        Args:
            url: SQLAlchemy URL.
            clock: gives seconds since 1970.

        Raises:
            CatalogueMissing: there is none at this address.
            SchemaMismatch: it was written by another version; the sentence says what to do.
            CatalogueUnavailable: the database does not answer.
            CatalogueError: the URL is not usable.
        """
        database = Database(url)
        try:
            check_schema(database)
        except BaseException:
            database.close()
            raise
        return cls(database, clock)

    @classmethod
    def create_or_upgrade(cls, url: str, *, clock: Callable[[], float] = time.time) -> Self:
        """Opens a catalogue, after making or upgrading it; any number of processes may do so at once.

        Args:
            url: SQLAlchemy URL.
            clock: gives seconds since 1970.

        Raises:
            SchemaMismatch: it was written by a newer version.
            CatalogueUnavailable: the database does not answer.
            CatalogueError: the URL is not usable.
        """
        database = Database(url)
        try:
            upgrade_schema(database)
        except BaseException:
            database.close()
            raise
        return cls(database, clock)

    def ping(self) -> None:
        """Asks the database for a sign of life.

        Raises:
            CatalogueUnavailable: it gives none.
        """
        with self._database.read() as connection:
            connection.exec_driver_sql("SELECT 1")

    @property
    def connections_in_use(self) -> int:
        """Database connections of this process that a transaction holds now; who waits for a job holds none."""
        return self._database.connections_in_use

    def close(self) -> None:
        """Closes every connection."""
        self._database.close()
