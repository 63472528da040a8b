"""The blob backend that the settings name."""

from __future__ import annotations

from slicebank_store.blobs.directory import DirectoryBlobs
from slicebank_store.blobs.protocol import BlobStore
from slicebank_store.settings import StoreSettings


def open_blobs(settings: StoreSettings) -> BlobStore:
    """The bucket of `blobs_url`, or else the blob folder, which is made where it is missing.

    A bucket is not asked for anything yet: a process starts while S3 is away.

    Raises:
        BlobsUnavailable: the folder cannot be made.
        BlobsFull: there is no room for it.
    """
    if settings.blobs_url is None:
        return DirectoryBlobs(settings.resolved_blobs_dir)
    # Here, because a folder needs none of the S3 client.
    from slicebank_store.blobs.s3 import S3Blobs

    bucket, _, prefix = settings.blobs_url.removeprefix("s3://").partition("/")
    secret = settings.s3_secret_access_key
    return S3Blobs(
        bucket,
        prefix=prefix.strip("/"),
        region=settings.s3_region,
        endpoint=settings.s3_endpoint,
        access_key_id=settings.s3_access_key_id,
        secret_access_key=None if secret is None else secret.get_secret_value(),
    )
