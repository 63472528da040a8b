"""Exports on their way from the server to a folder: never half a file, and gone on with after an interruption."""

from slicebank.exports.archive import Member, members
from slicebank.exports.folder import ExportFolder

__all__ = ["ExportFolder", "Member", "members"]
