"""A study of tiny phantoms that has run once, and what is needed to run it again with a change."""

import shutil

import pytest

from harness import Study, copy_code, write_sheets


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory):
    """DICOM of two tiny phantoms, with their truth beside them: {name: (dicom folder, truth folder)}."""
    from calciflow.phantom import write_dicom, write_truth
    from calciflow.phantom.tiny import tiny_leg

    found = {}
    for name, seed in (("one", 1), ("two", 2)):
        root = tmp_path_factory.mktemp("phantoms") / name
        scan = tiny_leg(seed)
        write_dicom(scan, root / "dicom")
        write_truth(scan, root / "truth")
        found[name] = (root / "dicom", root / "truth")
    return found


CLINICAL = (
    "participant_id\tsession_id\tregion\tside\tscore\treader\n"
    "sub-01\tses-01\tthigh\tleft\t1\tA\nsub-01\tses-01\tthigh\tright\t0\tA\n"
    "sub-02\tses-01\tthigh\tleft\t1\tA\nsub-02\tses-01\tthigh\tright\t1\tA\n"
)
SCANS = (
    "participant_id\tsession_id\tsource\texclude\n"
    "sub-01\tses-01\tscans/one\tn/a\n"
    "sub-02\tses-01\tscans/a scan with blanks\tn/a\n"
    "sub-03\tses-01\tscans/missing\tn/a\n"
    "sub-04\tses-01\tscans/one\twithdrew consent\n"
)


@pytest.fixture(scope="session")
def base(tmp_path_factory, phantoms):
    """The study after its first run: two scans measured, one refused, one excluded. Tests work on copies of it."""
    root = tmp_path_factory.mktemp("a study")
    folder = root / "my study"
    write_sheets(folder, SCANS)
    (folder / "config" / "clinical_scores.tsv").write_text(CLINICAL)
    shutil.copytree(phantoms["one"][0], folder / "scans" / "one")
    shutil.copytree(phantoms["two"][0], folder / "scans" / "a scan with blanks")
    study = Study(folder, copy_code(root / "code"))
    (root / "first_run.txt").write_text(study.run("--cores", "2"))
    return study


@pytest.fixture
def study(base, tmp_path):
    """A copy of the study, times and Snakemake's memory with it, to change and run again."""
    shutil.copytree(base.folder, tmp_path / "my study", copy_function=shutil.copy2)
    shutil.copytree(base.code, tmp_path / "code", copy_function=shutil.copy2)
    return Study(tmp_path / "my study", tmp_path / "code")
