"""What objects of a prediction are made of: the answer, its head, and the images it is about."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from slicebank_service.context import Context
from slicebank_service.errors import NoSourceImages, UidsHashed
from slicebank_store.bags import read_bag
from slicebank_store.catalogue import HeadRecord, PredictionRecord
from slicebank_store.errors import BlobMissing

JSON = dict[str, Any]

# PS3.4 annex B.5: what a slice is when nobody says so.
CT_IMAGE, ENHANCED_CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.2.1"
_UID = re.compile(r"[0-9]+(\.[0-9]+)+")


@dataclass(frozen=True, slots=True)
class SourceImage:
    """One slice as other objects refer to it.

    Attributes:
        frame_number: 1-based; None where the instance is one slice.
    """

    series_uid: str
    sop_instance_uid: str
    sop_class_uid: str
    frame_number: int | None


@dataclass(frozen=True, slots=True)
class Answered:
    """A prediction with what its objects name.

    Attributes:
        head: None where it was removed since.
        report: what the training of the head wrote; {} where there is none.
        images: by series and index of the slice.
    """

    prediction: PredictionRecord
    head: HeadRecord | None
    report: JSON
    encoder: str
    images: Mapping[tuple[str, int], SourceImage]

    @property
    def head_name(self) -> str:
        """Name and version of the head."""
        return f"{self.head.name} v{self.head.version}" if self.head is not None else self.prediction.head_id

    def top(self, count: int) -> list[tuple[JSON, SourceImage]]:
        """The most attended slices, most first, with their images."""
        ranked = sorted(self.prediction.attention["slices"], key=lambda item: item["rank"])
        keyed = [((item.get("series_uid") or self.prediction.series_uid, item["slice_index"]), item) for item in ranked]
        return [(item, self.images[key]) for key, item in keyed if key in self.images][:count]


def answered(context: Context, prediction: PredictionRecord, sop_classes: Mapping[str, str]) -> Answered:
    """Gathers what the objects of a prediction name.

    Args:
        context: the application's collaborators.
        prediction: its row.
        sop_classes: of the images of a series, where they are known; others are taken for CT images, or for enhanced ones where
            several slices lie in one instance.

    Raises:
        UidsHashed: the project replaces UIDs.
        NoSourceImages: the bag, or the UIDs of its slices, are no help.
    """
    if context.pseudonyms.uids_hashed:
        raise UidsHashed(
            f"project {context.project} replaces UIDs, and an object for the PACS must name the true ones; "
            "make a project with SLICEBANK_UID_POLICY=keep for that"
        )
    used = prediction.about.get("series") or [{"series_uid": prediction.series_uid, "bag_id": prediction.bag_id}]
    images: dict[tuple[str, int], SourceImage] = {}
    encoder = ""
    for item in used:
        bag = context.catalogue.bags.get(context.project, item["bag_id"])
        if bag is None:
            raise NoSourceImages(
                f"bag {item['bag_id']} is gone, and with it what its slices are called; embed the series again"
            )
        encoder = encoder or bag.encoder
        images |= _images(context, bag.blob_key, item["series_uid"], sop_classes.get(item["series_uid"]))
    uids = {prediction.study_uid, *(image.series_uid for image in images.values())}
    uids |= {image.sop_instance_uid for image in images.values()}
    if not images or not all(_is_uid(uid) for uid in uids):
        raise NoSourceImages(
            "study, series or slices of this answer have no DICOM UIDs: the bag was made elsewhere, or the files had none; "
            "upload the original DICOM"
        )
    head = context.catalogue.heads.get(context.project, prediction.head_id)
    report = context.catalogue.heads.report(context.project, prediction.head_id) if head is not None else None
    return Answered(prediction, head, report or {}, encoder, images)


def _images(
    context: Context, blob_key: str, series_uid: str, sop_class: str | None
) -> dict[tuple[str, int], SourceImage]:
    try:
        with context.blobs.open_local(blob_key) as path:
            bag = read_bag(path)
    except BlobMissing as error:
        raise NoSourceImages("the file of the bag is gone, and with it what its slices are called") from error
    shared = Counter(bag.sop_instance_uid)
    found = {}
    for index, uid, frame in zip(
        bag.slice_numbers.tolist(), bag.sop_instance_uid, bag.frame_number.tolist(), strict=True
    ):
        several = shared[uid] > 1 or frame > 1
        found[series_uid, index] = SourceImage(
            series_uid, uid, sop_class or (ENHANCED_CT_IMAGE if several else CT_IMAGE), frame if several else None
        )
    return found


def _is_uid(uid: str) -> bool:
    """Whether a UID can stand in an object (PS3.5 section 9.1)."""
    return len(uid) <= 64 and _UID.fullmatch(uid) is not None
