from stages.evaluation.publication import SimulatedFolder


def test_a_cohort_below_the_folder_is_simulated_and_one_that_a_link_leads_away_from_it_is_not(tmp_path):
    for name in ("simulated/dicom", "site"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "simulated" / "link").symlink_to(tmp_path / "site")
    folder = SimulatedFolder(tmp_path / "simulated")
    assert folder.holds(tmp_path / "simulated" / "dicom")
    assert not folder.holds(tmp_path / "site")
    assert not folder.holds(tmp_path / "simulated" / "link")
