"""Real files over the network: every transfer syntax that is decoded, and senders of other makers."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pydicom
import pytest
from pydicom.uid import UID

from slicebank_imaging.syntaxes import SYNTAXES

from .conftest import CT, Listen

pytestmark = pytest.mark.realct

ODD = "odd/cornerstone3d"


def slices_of(real_ct: Path) -> dict[str, Path]:
    """One file of the same slice for each transfer syntax."""
    found = {}
    for path in sorted((real_ct / ODD).glob("CTImage.dcm_*")):
        found[str(pydicom.dcmread(path, stop_before_pixels=True).file_meta.TransferSyntaxUID)] = path
    return found


def test_every_syntax_arrives_as_it_was_sent(listen: Listen, real_ct: Path) -> None:
    listening = listen()
    sent = {syntax: path for syntax, path in slices_of(real_ct).items() if syntax in SYNTAXES}
    assert set(sent) == set(SYNTAXES)
    for syntax, path in sent.items():
        association = listening.associate(CT, syntaxes=(syntax,))
        assert association.is_established, syntax
        assert association.send_c_store(path).Status == 0, syntax
        association.release()
    arrived = {
        str(dataset.file_meta.TransferSyntaxUID): dataset for dataset in map(pydicom.dcmread, listening.arrived())
    }
    assert set(arrived) == set(sent)
    for syntax, path in sent.items():
        assert arrived[syntax].PixelData == pydicom.dcmread(path).PixelData, UID(syntax).name


def test_syntaxes_that_nobody_decodes_are_not_accepted(listen: Listen, real_ct: Path) -> None:
    others = tuple(syntax for syntax in slices_of(real_ct) if syntax not in SYNTAXES)
    assert len(others) == 2
    assert not listen().associate(CT, syntaxes=others).is_established


@pytest.mark.parametrize(
    ("option", "syntax"),
    [
        ("-xe", "1.2.840.10008.1.2.1"),
        ("-xi", "1.2.840.10008.1.2"),
        ("-xb", "1.2.840.10008.1.2.2"),
        ("-xd", "1.2.840.10008.1.2.1.99"),
        ("-xs", "1.2.840.10008.1.2.4.70"),
        ("-xy", "1.2.840.10008.1.2.4.50"),
        ("-xx", "1.2.840.10008.1.2.4.51"),
        ("-xt", "1.2.840.10008.1.2.4.80"),
        ("-xu", "1.2.840.10008.1.2.4.81"),
        ("-xv", "1.2.840.10008.1.2.4.90"),
        ("-xw", "1.2.840.10008.1.2.4.91"),
        ("-xr", "1.2.840.10008.1.2.5"),
    ],
)
def test_dcmtk_sends_every_syntax_that_it_knows(listen: Listen, real_ct: Path, option: str, syntax: str) -> None:
    listening = listen()
    run_dcmtk(
        "storescu", "-aec", "SLICEBANK", option, "127.0.0.1", str(listening.port), str(slices_of(real_ct)[syntax])
    )
    (arrived,) = listening.arrived()
    dataset = pydicom.dcmread(arrived)
    if option not in ("-xe", "-xi", "-xb", "-xd"):  # DCMTK proposes plain syntaxes together and converts
        assert dataset.file_meta.TransferSyntaxUID == syntax


def test_dcmtk_sends_a_mixed_study(listen: Listen, real_ct: Path) -> None:
    """CT, scout and segmentations over one association: none of them stops the sender."""
    listening = listen()
    folder = real_ct / "ct" / "ge_chest_with_scout_and_seg"
    files = [str(path) for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix != ".csv"]
    run_dcmtk("echoscu", "-aec", "SLICEBANK", "127.0.0.1", str(listening.port))
    run_dcmtk("storescu", "-aec", "SLICEBANK", "-xt", "-R", "127.0.0.1", str(listening.port), *files)
    assert len(listening.arrived()) == 135
    (job,) = listening.jobs()
    assert job.study_uid == pydicom.dcmread(listening.arrived()[0], stop_before_pixels=True).StudyInstanceUID
    listening.listener.stop(grace_s=20)
    assert listening.count("instances_total", code="localizer") == 1
    assert listening.count("instances_total", code="not_an_image") == len(files) - 136
    assert listening.leftovers() == []


def run_dcmtk(tool: str, *arguments: str) -> None:
    program = shutil.which(tool)
    if program is None:
        pytest.skip(f"{tool} is not installed: it is in Debian's package dcmtk")
    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
