"""From paths on this machine to requests: what to send, what together, and how without holding it in memory."""

from slicebank.upload.send import OnUpload, UploadProgress, send_upload

__all__ = ["OnUpload", "UploadProgress", "send_upload"]
