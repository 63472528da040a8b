"""Studies taken in by a worker: those that arrived file by file, and those pulled from a PACS."""

from slicebank_worker.jobs.imports.importer import Importer, takes_study_in

__all__ = ["Importer", "takes_study_in"]
