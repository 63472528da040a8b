from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from slicebank_store.blobs import BlobStore, bag_key, open_blobs
from slicebank_store.blobs.s3 import S3Blobs
from slicebank_store.catalogue import Catalogue
from slicebank_store.errors import BlobMissing, BlobsUnavailable
from slicebank_store.settings import StoreSettings
from slicebank_store.upkeep import Verifier
from tests.cluster.seaweed import SeaweedServer

from ..upkeep.stocking import embed
from .contract import KEY, BlobContract

_PREFIXES = count()


class RawBucket:
    """The bucket, read behind the gateway."""

    def __init__(self, server: SeaweedServer, prefix: str) -> None:
        self._server = server
        self._prefix = prefix

    def read(self, key: str) -> bytes:
        return self._server.read(f"{self._prefix}/{key}")

    def names(self) -> list[str]:
        unfinished = self._server.names(".uploads")
        return unfinished + [name.removeprefix(f"{self._prefix}/") for name in self._server.names(self._prefix)]


def blobs_at(server: SeaweedServer, prefix: str, **changes: str) -> S3Blobs:
    keys = {"access_key_id": server.access_key_id, "secret_access_key": server.secret_access_key}
    values = {"endpoint": server.endpoint, "region": "us-east-1", "bucket": server.bucket, **keys, **changes}
    return S3Blobs(prefix=prefix, **values)


@pytest.fixture
def prefix() -> str:
    return f"blobs{next(_PREFIXES)}"


class TestS3(BlobContract):
    @pytest.fixture
    def blobs(self, seaweed: SeaweedServer, prefix: str) -> S3Blobs:
        return blobs_at(seaweed, prefix)

    @pytest.fixture
    def raw(self, seaweed: SeaweedServer, prefix: str) -> RawBucket:
        return RawBucket(seaweed, prefix)

    def test_files_of_several_parts_are_copied(self, blobs: S3Blobs, raw: RawBucket, tmp_path: Path) -> None:
        content = b"".join(bytes([part]) * 5_000_000 for part in range(5))
        (tmp_path / "local").write_bytes(content)
        assert blobs.put_file(KEY, tmp_path / "local") == len(content)
        assert raw.names() == [KEY]
        with blobs.open_local(KEY) as path:
            assert path.read_bytes() == content
            assert path.name == "a.h5"
        assert not path.exists()

    def test_a_blob_that_is_replaced_while_it_is_read_does_not_mix(self, blobs: S3Blobs) -> None:
        blobs.put_bytes(KEY, b"old")
        with blobs.open_reader(KEY) as reader:
            blobs.put_bytes(KEY, b"new")
            with pytest.raises(BlobMissing):
                reader.read(0, 3)

    def test_listings_of_several_pages(self, blobs: S3Blobs, seaweed: SeaweedServer, prefix: str) -> None:
        keys = [f"default/bags/dummy/{number:04d}.h5" for number in range(1005)]
        for key in keys:
            seaweed.write(f"{prefix}/{key}", b"")
        assert list(blobs.keys("default/")) == keys


def test_what_is_refused_is_unavailable_with_a_sentence_and_never_missing(seaweed: SeaweedServer) -> None:
    stranger = blobs_at(seaweed, "b", access_key_id="nobody")
    for ask in (stranger.exists, stranger.size, lambda key: stranger.put_bytes(key, b"")):
        with pytest.raises(BlobsUnavailable, match="refuses access"):
            ask(KEY)
    elsewhere = blobs_at(seaweed, "b", bucket="no-such-bucket")
    with pytest.raises(BlobsUnavailable, match="does not exist"):
        list(elsewhere.keys())


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[SeaweedServer]:
    server = SeaweedServer(tmp_path / "seaweed")
    server.start()
    yield server
    server.kill()


def test_a_server_that_dies_is_unavailable_and_works_again_when_it_is_back(
    own_server: SeaweedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in own_server.environment.items():
        monkeypatch.setenv(name, value)
    blobs: BlobStore = open_blobs(StoreSettings(data_dir=tmp_path))
    blobs.put_bytes(KEY, b"kept")
    (tmp_path / "large").write_bytes(b"x" * 20_000_000)
    own_server.kill()
    for ask in (
        lambda: blobs.put_bytes(KEY, b"lost"),
        lambda: blobs.put_file(KEY, tmp_path / "large"),
        lambda: blobs.exists(KEY),
        lambda: blobs.delete(KEY),
        lambda: list(blobs.keys()),
        lambda: blobs.open_reader(KEY).__enter__(),
    ):
        with pytest.raises(BlobsUnavailable, match="does not answer"):
            ask()
    own_server.start()
    with blobs.open_local(KEY) as path:
        assert path.read_bytes() == b"kept"
    assert blobs.put_bytes(KEY, b"again") == 5


def test_a_bucket_is_verified_repaired_and_cleaned_as_a_folder_is(
    seaweed: SeaweedServer, prefix: str, sqlite_url: str
) -> None:
    catalogue, blobs = Catalogue.open(sqlite_url), blobs_at(seaweed, prefix)
    sound, _ = embed(catalogue, blobs, "1.1", retain=True)
    flipped, lease = embed(catalogue, blobs, "1.2")
    content = bytearray(seaweed.read(f"{prefix}/{flipped.blob_key}"))
    content[len(content) // 2] ^= 1
    seaweed.write(f"{prefix}/{flipped.blob_key}", bytes(content))
    orphan = bag_key("default", "dummy", flipped.bag_id, lease.job.job_id, 0)
    blobs.put_bytes(orphan, b"")
    found = {(finding.code.value, finding.what) for finding in Verifier(catalogue, blobs, repair=True).run()}
    assert found == {("blob_checksum", flipped.blob_key), ("blob_orphan", orphan)}
    assert list(Verifier(catalogue, blobs).run()) == []
    assert sound.blob_key in set(blobs.keys())
    assert flipped.blob_key not in set(blobs.keys())
    catalogue.close()
