"""What a source or a sheet may try: bombs, absurd sizes, tags and markup. Each is refused or neutralised.

Archives that write outside, links, devices and bombs in archives: ``test_dicom_archive.py``. Formulas in cells:
``test_tables.py``. Markup in figures: ``test_cohort.py``; in pages: ``test_qc.py``, ``test_report.py``; scripts in
them: ``browser/test_pages.py``.
"""

import gzip
import io
import json
import struct
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
import pydicom
import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian

import dicom_scans as make
from calciflow.config_file import read_config
from calciflow.dicom import deflated
from calciflow.dicom.headers import parse, quiet
from calciflow.dicom.pixels import MATRIX_LIMIT, Undecodable, _announced, stored_values
from calciflow.errors import ScanError, StudyError
from calciflow.forms import load_form
from calciflow.images import Volume, read_volume
from calciflow.index import index_scan
from calciflow.maps.reading import read_map
from calciflow.sheets import read_participants, read_scans

MIB = 1 << 20


def verdict(source: Path, out: Path) -> dict[str, Any]:
    """Index a source, within a bound of memory; nothing but a verdict may come of it."""
    out.mkdir(exist_ok=True)
    tracemalloc.start()
    try:
        index_scan(
            series=str(out / "series.tsv"),
            screening=str(out / "screening.json"),
            selection=str(out / "selection.json"),
            scan={"participant_id": "sub-01", "session_id": "ses-01", "acquisition": None},
            sources={"source": str(source)},
        )
        assert tracemalloc.get_traced_memory()[1] < 400 * MIB
    finally:
        tracemalloc.stop()
    told: dict[str, Any] = json.loads((out / "screening.json").read_text())
    assert told["code"] != "internal"
    return told


def scan(tmp_path: Path, **changes: Any) -> Path:
    """A good scan, but for what is set in each slice of its PET."""
    for series in (make.ct(), make.pet()):
        for data in series:
            if data.Modality == "PT":
                for keyword, value in changes.items():
                    setattr(data, keyword, value)
        make.write(tmp_path / "scan" / series[0].Modality, series)
    return tmp_path / "scan"


@pytest.mark.parametrize(
    "changes",
    [
        {"Rows": 65535, "Columns": 65535},
        {"Rows": 65535, "Columns": 65535, "NumberOfFrames": "999999999", "BitsAllocated": 32},
        {"NumberOfSlices": 65535},
        {"PixelSpacing": ["1e-30", "1e30"]},
        {"SamplesPerPixel": 65535},
    ],
)
def test_absurd_dimensions_in_a_header_are_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    told = verdict(scan(tmp_path, **changes), tmp_path / "out")
    assert told["verdict"] == "refused"
    assert told["code"] in ("unreadable", "missing_slice", "geometry", "no_pet", "no_ac_pet"), told


def test_a_number_of_frames_that_a_single_slice_cannot_have_takes_no_memory(tmp_path: Path) -> None:
    """Images of these classes have one frame, whatever they say."""
    assert verdict(scan(tmp_path, NumberOfFrames="2147483647"), tmp_path / "out")["verdict"] == "accepted"


def deflated_file(data: pydicom.Dataset, more: bytes = b"") -> bytes:
    """A Part 10 file in deflated explicit VR little endian, with zeros packed behind the data set."""
    data.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, data, enforce_file_format=True)
    raw = buffer.getvalue()
    start = 144 + int.from_bytes(raw[140:144], "little")
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    inner = zlib.decompress(raw[start:], -zlib.MAX_WBITS) + more
    return raw[:start] + packer.compress(inner) + packer.flush()


def test_a_deflated_data_set_is_read_and_a_bomb_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with quiet():
        assert parse(deflated_file(make.pet()[0]))[0].Modality == "PT"
        monkeypatch.setattr(deflated, "DEFLATED_SIZE", 8 * MIB)
        element = struct.pack("<HH2sHI", 0x7FE1, 0x1010, b"OB", 0, 64 * MIB)
        bomb = deflated_file(make.pet()[0], element + bytes(64 * MIB))
        assert len(bomb) < MIB / 8
        with pytest.raises(ValueError, match="without bound"):
            parse(bomb)
    folder = scan(tmp_path)
    (folder / "bomb.dcm").write_bytes(bomb)
    assert verdict(folder, tmp_path / "out")["code"] == "unreadable"


def test_a_compressed_stream_that_announces_another_size_is_not_decoded() -> None:
    """Decoders take memory by the stream's own word: 60000 x 60000 would be 14 GB."""
    j2k = b"\xff\x4f\xff\x51\x00\x29\x00\x00" + struct.pack(">8I", 60000, 60000, 0, 0, 60000, 60000, 0, 0) + bytes(9)
    jls = b"\xff\xd8\xff\xf7\x00\x0b\x10" + struct.pack(">2H", 60000, 50000) + b"\x01\x01\x11\x00"
    jpeg = b"\xff\xd8\xff\xe0\x00\x04ab\xff\xc3\x00\x0b\x10" + struct.pack(">2H", 60000, 50000) + bytes(4)
    assert _announced(j2k) == (60000, 60000)
    assert _announced(jls) == _announced(jpeg) == (60000, 50000)
    assert _announced(b"\x01\x00\x00\x00") is None
    for syntax, stream in (("1.2.840.10008.1.2.4.90", j2k), ("1.2.840.10008.1.2.4.80", jls)):
        data = make.ct()[0]
        data.file_meta.TransferSyntaxUID = syntax
        data.PixelData = pydicom.encaps.encapsulate([stream])
        data["PixelData"].is_undefined_length = True
        tracemalloc.start()
        with pytest.raises(Undecodable, match="size that the header says"):
            stored_values(data)
        assert tracemalloc.get_traced_memory()[1] < 10 * MIB
        tracemalloc.stop()
        data.Rows = data.Columns = 60000
        with pytest.raises(Undecodable, match="absurd"):
            stored_values(data)
    assert MATRIX_LIMIT < 60000


@pytest.mark.realdata
def test_real_streams_announce_what_they_hold(testdata: Path) -> None:
    seen = 0
    for path in sorted((testdata / "edge" / "transfer_syntax" / "In").rglob("*.dcm")):
        data = pydicom.dcmread(path)
        if data.file_meta.TransferSyntaxUID.is_encapsulated:
            announced = _announced(pydicom.encaps.get_frame(data.PixelData, 0, number_of_frames=1))
            assert announced in (None, (data.Rows, data.Columns))
            seen += announced is not None
    assert seen >= 3


def nifti(path: Path, shape: tuple[int, ...], content: bytes, kind: Any = np.int16) -> Path:
    header = nib.Nifti1Header()
    header.set_data_dtype(kind)
    header.set_data_shape((1,) * len(shape))
    header["dim"][1 : 1 + len(shape)] = shape
    header["vox_offset"] = 352
    header["magic"] = b"n+1"
    header.set_sform(np.eye(4), code="scanner")
    data = header.binaryblock + bytes(4) + content
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(data) if path.name.endswith(".gz") else data)
    return path


@pytest.mark.parametrize("shape", [(32767, 32767, 32767), (-1, 4, 4), (0, 4, 4), (30000, 30000, 16)])
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_absurd_dimensions_in_a_nifti_header(tmp_path: Path, shape: tuple[int, ...], name: str) -> None:
    path = nifti(tmp_path / name, shape, bytes(100))
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"announces|no volume|dimensions"):
        read_volume(path)
    assert tracemalloc.get_traced_memory()[1] < 10 * MIB
    tracemalloc.stop()
    ct = Volume(np.zeros((4, 4, 4), np.int16), np.eye(4))
    with pytest.raises(ScanError, match="cannot be read"):
        read_map("boa_tissues", str(path), ct)


def test_a_packed_nifti_gives_no_more_than_it_announces(tmp_path: Path) -> None:
    path = nifti(tmp_path / "a.nii.gz", (4, 4, 4), bytes(200 * MIB))
    assert path.stat().st_size < MIB
    tracemalloc.start()
    assert read_volume(path).array.shape == (4, 4, 4)
    assert tracemalloc.get_traced_memory()[1] < 10 * MIB
    tracemalloc.stop()


def test_a_bids_source_with_bombs_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "bids"
    nifti(folder / "sub-1_pet.nii.gz", (32767, 32767, 1000), bytes(100), np.float32)
    (folder / "sub-1_pet.json").write_text('{"Units": "Bq/mL"}')
    assert verdict(folder, tmp_path / "out")["verdict"] == "refused"
    (folder / "sub-1_pet.json").write_text("[" * 100_000)
    assert verdict(folder, tmp_path / "out")["code"] == "unreadable"


YAML_TAGS = (
    "!!python/object/apply:os.system ['touch {marker}']",
    "!!python/object/new:os.system ['touch {marker}']",
    "!!python/name:os.system",
    "!!python/module:os",
)


@pytest.mark.parametrize("tag", YAML_TAGS)
def test_yaml_tags_do_nothing(tmp_path: Path, tag: str) -> None:
    """In a form, in the config as Snakemake reads it, and in a phantom's description."""
    from snakemake.common.configfile import load_configfile
    from snakemake.exceptions import WorkflowError

    from calciflow.phantom.spec import load_spec

    marker = tmp_path / "marker"
    path = tmp_path / "evil.yaml"
    path.write_text(f"name: evil\nsuv: {tag.format(marker=marker)}\n")
    with pytest.raises(StudyError):
        load_form(path)
    with pytest.raises((WorkflowError, StudyError)):
        read_config(load_configfile(str(path)))
    with pytest.raises(Exception, match=r"constructor|python/"):
        load_spec(path)
    assert not marker.exists()


@pytest.mark.parametrize("label", ["sub-../../x", "sub-01/..", "sub-<b>", "sub-=1+1", "sub-a b", "../sub-01", "sub-"])
def test_labels_cannot_leave_their_folder_or_carry_markup(tmp_path: Path, label: str) -> None:
    (tmp_path / "participants.tsv").write_text(f"participant_id\tgroup\n{label}\tDM\n")
    with pytest.raises(StudyError, match="is no label"):
        read_participants(tmp_path / "participants.tsv")
    (tmp_path / "scans.tsv").write_text(f"participant_id\tsession_id\tsource\n{label}\tses-01\tx\n")
    with pytest.raises(StudyError, match="is no label"):
        read_scans(tmp_path / "scans.tsv", [label])


def test_a_series_table_of_hostile_headers_has_neither_formulas_nor_markup_that_runs(tmp_path: Path) -> None:
    source = scan(
        tmp_path,
        SeriesDescription='=HYPERLINK("http://x","y")',
        Manufacturer="<script>alert(1)</script>",
        PatientName="=cmd|' /C calc'!A0",
        ReconstructionMethod="@SUM(1+1)*cmd",
    )
    told = verdict(source, tmp_path / "out")
    assert told["verdict"] == "accepted"
    table = pd.read_csv(tmp_path / "out" / "series.tsv", sep="\t", dtype=str, keep_default_na=False)
    for cell in table.to_numpy().ravel():
        assert not cell.startswith(("=", "@", "+")), cell
    text = (tmp_path / "out" / "series.tsv").read_text() + (tmp_path / "out" / "screening.json").read_text()
    assert "<script" not in text
