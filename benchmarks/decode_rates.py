"""How many slices a second can be decoded from disk per transfer syntax, and where a slice's processor time goes.

`slicebank` is the path of a worker: imagecodecs where the syntax is compressed. `pydicom` is `dcmread(path).pixel_array`
with the plugins that are installed. Both read 512 x 512 slices of 12 bits with the noise of CT from files that the
operating system has in memory.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.form import Form, form_from_arguments
from benchmarks.inputs import write_series
from benchmarks.slices import read_stack
from benchmarks.timing import take_turns
from slicebank_imaging import syntaxes
from slicebank_imaging.decoding import decode_frame
from slicebank_imaging.elements import open_dicom
from slicebank_imaging.frames import map_frames, supported_syntax
from slicebank_imaging.layout import read_layout
from slicebank_imaging.pixels import SliceLoader
from slicebank_imaging.slices import SliceRef
from slicebank_imaging.thumbnails import jpeg_thumbnail
from slicebank_imaging.windows import parse_windows
from slicebank_worker.engine.host_rows import resize_windows

SYNTAXES = {
    "uncompressed": syntaxes.EXPLICIT_VR_LITTLE_ENDIAN,
    "deflated": syntaxes.DEFLATED_LITTLE_ENDIAN,
    "RLE": syntaxes.RLE_LOSSLESS,
    "JPEG lossless": syntaxes.JPEG_LOSSLESS_SV1,
    "JPEG-LS": syntaxes.JPEG_LS_LOSSLESS,
    "JPEG 2000": syntaxes.JPEG_2000_LOSSLESS,
}
STAGED = ("uncompressed", "JPEG-LS")
WINDOWS = ("abdomen", "lung")
SIZE = 224
SEED = 32


def pydicom_plugin(syntax_uid: str) -> str | None:
    """The plugin that pydicom decodes a compressed syntax with here; `numpy` where nothing is compressed."""
    from pydicom.pixels.decoders.base import get_decoder

    if not syntaxes.SYNTAXES[syntax_uid].encapsulated:
        return "numpy"
    decoder = get_decoder(syntax_uid)
    return decoder.available_plugins[0] if decoder.is_available else None


def rates(folder: Path, syntax_uid: str, rounds: int) -> dict[str, Any]:
    """Slices a second of both decoders on one and two threads, in turn.

    Args:
        folder: one series of single-frame files.
        syntax_uid: of its files.
        rounds: times each is measured.
    """
    import pydicom

    refs = read_stack(folder).slices
    loader = SliceLoader(folder)
    plugin = pydicom_plugin(syntax_uid)
    decoders: dict[str, Callable[[SliceRef], object]] = {"slicebank": loader.load}
    if plugin is not None:
        decoders["pydicom"] = lambda ref: pydicom.dcmread(folder / ref.file).pixel_array
    counts = range(1, min(2, len(os.sched_getaffinity(0))) + 1)
    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(2) as two:
        pools = {1: one, 2: two}
        variants = {
            f"{name} {count}": lambda decode=decode, count=count: list(pools[count].map(decode, refs))
            for name, decode in decoders.items()
            for count in counts
        }
        timings = take_turns(variants, rounds)
    per_s: dict[str, Any] = {
        name: {str(count): len(refs) / timings[f"{name} {count}"].median for count in counts} for name in decoders
    }
    size = sum((folder / ref.file).stat().st_size for ref in refs) / len(refs)
    return {
        "bytes_per_slice": round(size),
        "slices_per_s": {"slicebank": per_s["slicebank"], "pydicom": per_s.get("pydicom")},
        "pydicom_plugin": plugin,
    }


def stages(folder: Path) -> dict[str, float]:
    """Milliseconds a slice of each step from file to rows on one thread; medians over the slices.

    `read` and `decode` start from the open file's frame table, `render` and `resize` make a row for each of two
    windows, `thumbnail` is made once a slice.
    """
    loader, windows = SliceLoader(folder), parse_windows(WINDOWS)
    seconds: dict[str, list[float]] = {
        name: [] for name in ("parse", "read", "decode", "render", "resize", "thumbnail")
    }

    def timed(name: str, step: Callable[[], Any]) -> Any:
        started = time.perf_counter()
        result = step()
        seconds[name].append(time.perf_counter() - started)
        return result

    refs = read_stack(folder).slices
    for ref in (refs[0], *refs):  # the first fills caches and is not counted
        path = folder / ref.file
        layout, syntax, ((span,),) = timed("parse", lambda path=path: _parse(path))
        data = timed("read", lambda path=path, span=span: _read(path, span.offset, span.length))
        timed("decode", lambda data=data, layout=layout, syntax=syntax: decode_frame(data, layout, syntax))
        ct = loader.load(ref)
        images = timed("render", lambda ct=ct: [ct.render(window) for window in windows])
        timed("resize", lambda images=images: resize_windows(images, SIZE))
        timed("thumbnail", lambda images=images: jpeg_thumbnail(images[0]))
    return {name: 1000 * statistics.median(values[1:]) for name, values in seconds.items()}


def _parse(path: Path) -> tuple[Any, Any, Any]:
    with open_dicom(path) as dicom:
        layout = read_layout(dicom.data)
        return layout, supported_syntax(dicom.syntax), map_frames(dicom, dicom.pixel, layout).frames


def _read(path: Path, offset: int, length: int) -> bytes:
    with path.open("rb") as stream:
        stream.seek(offset)
        return stream.read(length)


def run(form: Form) -> None:
    """Measures six syntaxes."""
    from benchmarks.record import save

    n_slices, rounds = form.pick(12, 48), form.pick(3, 7)
    figures: dict[str, Any] = {"slices": n_slices, "rounds": rounds, "syntaxes": {}, "stages_ms": {}}
    with tempfile.TemporaryDirectory() as scratch:
        for name, uid in SYNTAXES.items():
            folder = write_series(Path(scratch) / uid, n_slices, SEED, syntax=uid).folder
            figures["syntaxes"][name] = rates(folder, uid, rounds)
            print(f"{name}: {_line(figures['syntaxes'][name]['slices_per_s'])}")
            if name in STAGED:
                figures["stages_ms"][name] = stages(folder)
                print("  " + ", ".join(f"{stage} {ms:.2f} ms" for stage, ms in figures["stages_ms"][name].items()))
    print(save("decode_rates", __doc__ or "", figures, form))


def _line(per_s: dict[str, dict[str, float] | None]) -> str:
    return "; ".join(
        f"{name} " + ", ".join(f"{rate:.0f}/s on {count}" for count, rate in found.items())
        for name, found in per_s.items()
        if found is not None
    )


if __name__ == "__main__":
    run(form_from_arguments(__doc__))
