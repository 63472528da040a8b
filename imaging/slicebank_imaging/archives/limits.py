"""What one upload may unpack to, and the count of what it did."""

from dataclasses import dataclass

from slicebank_imaging.errors import ArchiveTooLarge, TooManyFiles


@dataclass(frozen=True, slots=True)
class UnpackLimits:
    """What one archive may hold, archives inside it included.

    Attributes:
        max_files: Files; folders and what operating systems add are not counted.
        max_bytes: Unpacked bytes on the disk at one time.
        max_ratio: Unpacked to packed bytes.
        ratio_floor_bytes: Unpacked bytes from which the ratio is judged.
        max_depth: Archives around a file; a compressed tar or a compressed single file is one.
        max_members: Entries of every kind, folders and links included.
        max_directory_bytes: A zip's central directory.
        max_window_bytes: Memory that a zstd or xz stream asks for.
        max_header_bytes: What a tar writes between two members.
    """

    max_files: int = 20_000  # the largest studies hold about 10,000 slices
    max_bytes: int = 16 << 30
    max_ratio: float = 200.0  # a disc of empty slices reaches about 100
    ratio_floor_bytes: int = 64 << 20  # small archives of flat test images pack far better than real CT: 3 to 1
    max_depth: int = 3  # a disc's zip, a zip a study in it, a .dcm.gz in that; people send no more
    max_members: int = 200_000  # macOS writes a twin beside each file, and some exports a folder around each
    max_directory_bytes: int = 64 << 20  # 200,000 entries of 46 bytes, a path and times
    max_window_bytes: int = 64 << 20  # xz -9 asks for 64 MB, zstd -19 for 8, and only those who ask for more, more
    max_header_bytes: int = 1 << 20  # a long name and some extended attributes are a few KB


class Meter:
    """Counts one upload against its limits.

    Attributes:
        exceeded: A limit of the whole upload was passed, so that nothing more is taken from it.
    """

    def __init__(self, limits: UnpackLimits, packed: int) -> None:
        self.limits = limits
        self.files = 0
        self.exceeded = False
        self._members = 0
        self._packed = packed
        self._on_disk = 0
        self._unpacked = 0

    def add_bytes(self, size: int) -> None:
        """Count unpacked bytes.

        Raises:
            ArchiveTooLarge: more than allowed, or packed too tightly to be CT.
        """
        self._on_disk += size
        self._unpacked += size
        limits = self.limits
        if self._on_disk > limits.max_bytes:
            self.exceeded = True
            raise ArchiveTooLarge(f"the archive unpacks to more than {limits.max_bytes} bytes; send it in parts")
        if self._unpacked > max(limits.ratio_floor_bytes, limits.max_ratio * self._packed):
            self.exceeded = True
            raise ArchiveTooLarge(
                f"the archive unpacks to more than {limits.max_ratio:g} times its size, which CT never does"
            )

    def add_member(self) -> None:
        """Count an entry of any kind.

        Raises:
            TooManyFiles: more than allowed.
        """
        self._members += 1
        self.expect_members(0)

    def expect_members(self, count: int) -> None:
        """Judge a number of entries before they are read.

        Raises:
            TooManyFiles: more than are left.
        """
        if self._members + count > self.limits.max_members:
            self.exceeded = True
            raise TooManyFiles(f"the archive holds more than {self.limits.max_members} entries; send it in parts")

    def add_file(self) -> None:
        """Count a file, taken or not.

        Raises:
            TooManyFiles: more than allowed.
        """
        self.expect_files(1)
        self.files += 1

    def expect_files(self, count: int) -> None:
        """Judge a number of files before they are read.

        Raises:
            TooManyFiles: more than are left.
        """
        if self.files + count > self.limits.max_files:
            self.exceeded = True
            raise TooManyFiles(f"the archive holds more than {self.limits.max_files} files; send it in parts")

    def give_back(self, size: int) -> None:
        """Take back a file that was an archive: its members are counted instead."""
        self.files -= 1
        self._on_disk -= size
