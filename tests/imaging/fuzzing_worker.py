"""A process of its own that judges damaged files, so that one that kills it is known by its seed.

Run as `python -m tests.imaging.fuzzing_worker DATA FOLDER FIRST COUNT`; writes a line for each seed before and after it.
"""

import faulthandler
import gzip
import json
import resource
import sys
import time
from pathlib import Path

from slicebank_imaging.errors import ImagingError
from slicebank_imaging.grouping import group_series
from slicebank_imaging.headers import read_file_header
from slicebank_imaging.options import ImportOptions
from slicebank_imaging.pixels import SliceLoader
from tests.imaging.fuzzing import mutated

LENIENT = ImportOptions((1.0, 0.0), force_not_hu=True)
MAX_SLICES = 20  # of one file; a time for each file is asked for, and honest ones may hold thousands
VOLUME_SHARE = 12  # times that the volume is chosen; files of DICOM are some 65
HANG_SECONDS = 60
MAX_MEMORY_BYTES = 3 << 30  # address space, libraries included


def sources(data: Path) -> list[bytes]:
    """Every odd file, the first slices of every real series, and a small volume."""
    odd = sorted(path for path in (data / "odd").rglob("*") if path.is_file())
    series = [sorted(path for path in place.rglob("*") if path.is_file()) for place in sorted((data / "ct").iterdir())]
    files = [path.read_bytes() for path in odd + [path for paths in series for path in paths[:2]]]
    volume = gzip.decompress((data / "nifti" / "example_ct_sm.nii.gz").read_bytes())
    return [*files, *[volume] * VOLUME_SHARE]


def verdict(folder: Path, content: bytes) -> str:
    """Everything that an upload and a worker do with one file: "ok" or the code of the refusal."""
    path = folder / "x"
    path.write_bytes(content)
    try:
        header = read_file_header(path, file="x", name="x", options=LENIENT)
        loader = SliceLoader(folder)
        for series in group_series([header], LENIENT).series:
            for stack in series.stacks:
                for ref in stack.slices[:MAX_SLICES]:
                    loader.load(ref).hounsfield()
    except ImagingError as error:
        return error.code if error.detail else "no sentence"
    return "ok"


def main(data: Path, folder: Path, first: int, count: int) -> None:
    """Judge `count` damaged files."""
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))
    files = sources(data)
    verdict(folder, files[0])
    for seed in range(first, first + count):
        number = seed * 7919 % len(files)
        content = mutated(files[number], seed)
        _write({"seed": seed, "source": number})
        faulthandler.dump_traceback_later(HANG_SECONDS, exit=True)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        started = time.process_time()
        try:
            code = verdict(folder, content)
        except Exception as error:  # noqa: BLE001 - any other error is what is looked for
            code = f"crash: {type(error).__name__}: {error}"[:200]
        seconds = time.process_time() - started
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        faulthandler.cancel_dump_traceback_later()
        _write({"seed": seed, "code": code, "cpu_seconds": seconds, "grown_bytes": grown * 1024})


def _write(line: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    faulthandler.enable()
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
