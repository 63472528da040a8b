"""From paths on this machine to requests: what to send, what together, and how without holding it in memory."""

from slicebank.upload.asking import intake_query
from slicebank.upload.progress import OnUpload, UploadProgress
from slicebank.upload.send import OnKnown, Sending, send_upload

__all__ = ["OnKnown", "OnUpload", "Sending", "UploadProgress", "intake_query", "send_upload"]
