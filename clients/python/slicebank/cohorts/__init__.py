"""Cohorts: from a table of paths or study UIDs to cases that are sent together, and can be gone on with."""

from slicebank.cohorts.submitting import CohortOptions, OnCase, submit_cohort
from slicebank.cohorts.table import Case, CohortTable, read_cohort

__all__ = ["Case", "CohortOptions", "CohortTable", "OnCase", "read_cohort", "submit_cohort"]
