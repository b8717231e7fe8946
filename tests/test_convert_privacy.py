"""What convert_dicom refuses and leaves out so that nobody is told."""

import dicom_files as df
import nibabel as nib
import numpy as np
import pytest

from stages.artifacts import tables
from stages.artifacts.identity import PUBLIC_KEY, write_new_key
from stages.artifacts.imaging_tables import SERIES
from stages.convert_dicom import main


def test_overlays_reach_no_volume(tmp_path):
    slices = df.slices()
    expected = df.volume(slices)
    for ds in slices:
        for tag, representation, value in (
            (0x60000010, "US", df.ROWS),
            (0x60000011, "US", df.COLUMNS),
            (0x60000040, "CS", "G"),
            (0x60000050, "SS", [1, 1]),
            (0x60000100, "US", 1),
            (0x60000102, "US", 0),
            (0x60003000, "OW", b"\xff" * (df.ROWS * df.COLUMNS // 8)),
        ):
            ds.add_new(tag, representation, value)
    df.write(tmp_path / "dicom", slices)
    write_new_key(tmp_path / "site.key")
    main(tmp_path / "dicom", tmp_path / "out", tmp_path / "site.key", tmp_path / "work")
    (row,) = tables.read(tmp_path / "out" / "series.parquet", SERIES).to_pylist()
    np.testing.assert_array_equal(np.asarray(nib.load(tmp_path / "out" / row["nifti"]).dataobj), expected)


def test_a_real_export_is_not_converted_under_the_simulators_key(tmp_path):
    (tmp_path / "dicom").mkdir()
    (tmp_path / "simulated").mkdir()
    (tmp_path / "simulated" / "site.key").write_text(PUBLIC_KEY)
    with pytest.raises(ValueError, match="make your own"):
        main(tmp_path / "dicom", tmp_path / "out", tmp_path / "simulated" / "site.key", tmp_path / "work")
    assert not (tmp_path / "out").exists()
