"""Celery workers of slicebank."""

from importlib.metadata import version

__version__ = version("slicebank")
