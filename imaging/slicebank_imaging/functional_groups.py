"""Per-frame attributes of enhanced CT (PS3.3 C.7.6.16 and C.8.15.3): the frame's own item, else the shared one."""

from dataclasses import dataclass

from slicebank_imaging import tags
from slicebank_imaging.errors import BadHeader
from slicebank_imaging.values import DataSet


@dataclass(frozen=True, slots=True)
class FrameSource:
    """Where the attributes of one frame are looked up.

    Attributes:
        own: The frame's item of the per-frame functional groups; empty for a single-frame file.
        shared: The shared functional groups; empty for a single-frame file.
        root: The data set itself.
        enhanced: Whether functional groups, rather than the data set, describe the frame.
    """

    own: DataSet
    shared: DataSet
    root: DataSet
    enhanced: bool

    def group(self, sequence: int) -> DataSet:
        """The functional group of this frame; the data set itself for a single-frame file."""
        if not self.enhanced:
            return self.root
        return self.own.first_item(sequence) or self.shared.first_item(sequence)


def frame_sources(data: DataSet, frames: int) -> tuple[FrameSource, ...]:
    """One source for each frame.

    Raises:
        BadHeader: fewer per-frame items than frames.
    """
    empty = DataSet({}, data.big_endian)
    shared = data.first_item(tags.SHARED_FUNCTIONAL_GROUPS_SEQUENCE)
    own = data.items(tags.PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE)
    if not own and not shared:
        return (FrameSource(empty, empty, data, enhanced=False),) * frames
    if len(own) < frames:
        raise BadHeader(
            f"{frames} frames have only {len(own)} items in PerFrameFunctionalGroupsSequence",
            tag=tags.label(tags.PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE),
        )
    return tuple(FrameSource(item, shared, data, enhanced=True) for item in own[:frames])
