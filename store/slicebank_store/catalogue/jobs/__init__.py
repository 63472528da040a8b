"""The job ledger: who may work on what, and what came of it."""

from slicebank_store.catalogue.jobs.lease import Beat, Lease
from slicebank_store.catalogue.jobs.ledger import Jobs
from slicebank_store.catalogue.jobs.new import NewJob
from slicebank_store.catalogue.jobs.outcome import HeadOutcome
from slicebank_store.catalogue.jobs.sweeping import HeldLease
from slicebank_store.catalogue.jobs.transitions import LOST_LEASE_LIMIT, MAX_ATTEMPTS

__all__ = ["LOST_LEASE_LIMIT", "MAX_ATTEMPTS", "Beat", "HeadOutcome", "HeldLease", "Jobs", "Lease", "NewJob"]
