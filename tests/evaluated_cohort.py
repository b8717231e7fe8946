"""A synthetic cohort as the evaluations find it: embeddings, relevance, labels, texts and series."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ruamel.yaml import YAML
from scipy import sparse

from stages.artifacts import cohort_tables, imaging_tables, report_tables, tables, tensors, truth_tables
from stages.evaluation.relevance import write_gains

FINDINGS = ("infarct", "mass", "oedema", "cyst", "atrophy")
WIDTH = 16


def make_id(kind, number):
    return hashlib.sha256(f"{kind}{number}".encode()).hexdigest()[:16]


@dataclass
class CohortFiles:
    """Writes every input of the evaluation stages below one folder."""

    folder: Path
    num_train: int = 60
    num_validation: int = 24
    num_test: int = 40
    num_shifted: int = 0
    seed: int = 0
    #: query sentences of each finding
    num_queries: int = 0

    def __post_init__(self):
        rng = np.random.default_rng(self.seed)
        sizes = {
            "train": self.num_train,
            "validation": self.num_validation,
            "test": self.num_test,
            "test_shifted": self.num_shifted,
        }
        self.splits = [split for split, size in sizes.items() for _ in range(size)]
        size = len(self.splits)
        self.labels = (rng.random((size, len(FINDINGS))) < 0.3).astype(int)
        self.study_ids = [make_id("study", n) for n in range(size)]
        # Every fourth study is a second one of the patient before.
        first_of_split = {self.splits.index(split) for split in sizes if split in self.splits}
        owners = [n - 1 if n % 4 == 3 and n not in first_of_split else n for n in range(size)]
        self.patient_ids = [make_id("patient", n) for n in owners]
        self.directions = rng.normal(size=(len(FINDINGS), WIDTH))
        self.normal = rng.normal(size=WIDTH)
        languages = np.where(rng.random(size) < 0.25, "zh", "en")
        keys = [(tuple(row), language) for row, language in zip(self.labels.tolist(), languages, strict=True)]
        self.texts = list(dict.fromkeys(keys))
        self.text_of_study = [self.texts.index(key) for key in keys]
        self.rng = rng

    def write(self, objectives, *, num_seeds=2, simulated=True):
        """Write all inputs; ``objectives`` maps a name to its noise (None: no relation to the labels)."""
        for name, noise in objectives.items():
            self.write_embeddings(name, noise, num_seeds)
        self._write_truth()
        self._write_texts()
        self._write_series()
        self.write_params(list(objectives), simulated=simulated)
        return self

    def write_embeddings(self, name, noise, num_seeds=2, *, has_text=True, has_logit=False, has_transfer=True):
        arrays = {}
        for seed in range(num_seeds):
            images = self.normal + self.labels @ self.directions
            images = (
                self.rng.normal(size=images.shape)
                if noise is None
                else images + noise * self.rng.normal(size=images.shape)
            )
            arrays[f"{seed}/image"] = images.astype(np.float16)
            if has_text:
                texts = self.normal + np.array([labels for labels, _ in self.texts]) @ self.directions
                arrays[f"{seed}/text"] = texts.astype(np.float16)
                queries = [self.directions * (1 + n) for n in range(self.num_queries)]
                arrays[f"{seed}/prompt"] = np.vstack([self.directions, -self.directions, *queries]).astype(np.float16)
            if has_transfer:
                arrays[f"{seed}/transfer"] = arrays[f"{seed}/image"][::2]
            images_of_views = [n for n, _ in self.views]
            blur = np.random.default_rng(seed).normal(size=(len(self.views), WIDTH))
            arrays[f"{seed}/view"] = (images[images_of_views] + blur).astype(np.float16)
            if has_logit:
                arrays[f"{seed}/logit"] = ((images - self.normal) @ np.linalg.pinv(self.directions)).astype(np.float16)
        tensors.write(self.path(f"embeddings/{name}.safetensors"), arrays, {"classes": list(FINDINGS)})
        rows = [
            {
                "kind": "image", "row": n, "study_id": study_id, "patient_id": self.patient_ids[n],
                "split": self.splits[n], "text_id": self.text_of_study[n],
            }
            for n, study_id in enumerate(self.study_ids)
        ]  # fmt: skip
        if has_transfer:
            rows += [row | {"kind": "transfer", "row": n, "sequence": "T1C"} for n, row in enumerate(rows[::2])]
        if has_text:
            rows += [{"kind": "text", "row": n, "text_id": n} for n in range(len(self.texts))]
            rows += [
                {"kind": "prompt", "row": n, "prompt_id": n} for n in range((2 + self.num_queries) * len(FINDINGS))
            ]
        rows += [
            rows[n] | {"kind": "view", "row": row, "sequence": sequence} for row, (n, sequence) in enumerate(self.views)
        ]
        table = tables.from_rows(cohort_tables.EMBEDDING_INDEX, rows)
        tables.write(self.path(f"embeddings/{name}.parquet"), table, cohort_tables.EMBEDDING_INDEX)

    def write_params(self, objectives, *, simulated=True, **sections):
        params = YAML(typ="safe").load((Path(__file__).parent.parent / "params.yaml").read_text(encoding="utf-8"))
        params["objectives"] = {name: {"method": "clip"} for name in objectives}
        params["evaluate_classification"] |= {"min_positives": 3, "num_draws": 3, "label_fractions": [0.1, 1.0]}
        params["evaluate_classification"] |= {"shots": [2]}
        params["evaluate_regions"] |= {"objectives": list(objectives), "min_positives": 3}
        params["tabulate_results"] |= {"num_resamples": 200, "num_sign_flips": 500, "reference": objectives[0]}
        params["tabulate_results"]["num_workers"] = 1
        params["evaluate_vqa"]["objectives"] = list(objectives)
        params["tabulate_results"]["simulated_folder"] = str(self.folder if simulated else self.folder / "elsewhere")
        for name, values in sections.items():
            params[name] |= values
        with self.path("params.yaml").open("w", encoding="utf-8") as file:
            YAML().dump(params, file)

    @property
    def views(self):
        """Image and withheld sequence of each view: both sequences of every test study."""
        tests = [n for n, split in enumerate(self.splits) if split == "test"]
        return [(n, sequence) for n in tests for sequence in self.sequences_of(n)]

    def sequences_of(self, number):
        return ("T1", "T2") if number % 3 else ("T1", "FLAIR")

    def path(self, name):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def _write_truth(self):
        patterns = list(dict.fromkeys(map(tuple, self.labels.tolist())))
        classes = [
            {
                "study_id": study_id, "relevance_class": patterns.index(tuple(labels)),
                "statement_set": patterns.index(tuple(labels)), "is_abnormal": bool(any(labels)), "source": "truth",
            }
            for study_id, labels in zip(self.study_ids, self.labels.tolist(), strict=True)
        ]  # fmt: skip
        table = tables.from_rows(truth_tables.RELEVANCE_CLASSES, classes)
        tables.write(self.path("relevance/classes.parquet"), table, truth_tables.RELEVANCE_CLASSES)
        sets = np.array(patterns)
        union = np.maximum(sets[:, None], sets[None]).sum(axis=2)
        gains = np.where(union > 0, (sets @ sets.T) / np.maximum(union, 1), 1.0)
        write_gains(self.path("relevance/gains.safetensors"), sparse.csr_array(gains))
        labels = [
            {"study_id": study_id, "finding": finding, "label": int(value), "source": "truth"}
            for study_id, row in zip(self.study_ids, self.labels, strict=True)
            for finding, value in zip(FINDINGS, row, strict=True)
        ]
        tables.write(
            self.path("truth/labels.parquet"), tables.from_rows(truth_tables.LABELS, labels), truth_tables.LABELS
        )
        lesions = [
            {
                "study_id": study_id, "lesion": 0, "finding": "infarct",
                "subtype": "acute infarct" if n % 2 else "chronic infarct", "size_mm": 9.0, "volume_ml": 1.0,
                "signals": [], "template_voxels": [], "template_shape": [4, 4, 4],
            }
            for n, (study_id, row) in enumerate(zip(self.study_ids, self.labels, strict=True))
            if row[FINDINGS.index("infarct")]
        ]  # fmt: skip
        table = tables.from_rows(truth_tables.LINKED_LESIONS, lesions)
        tables.write(self.path("truth/lesions.parquet"), table, truth_tables.LINKED_LESIONS)
        splits = [
            {"study_id": s, "patient_id": p, "split": split}
            for s, p, split in zip(self.study_ids, self.patient_ids, self.splits, strict=True)
        ]
        tables.write(
            self.path("splits.parquet"), tables.from_rows(cohort_tables.SPLIT_TABLE, splits), cohort_tables.SPLIT_TABLE
        )
        flow = [
            {"level": "studies", "group": "used", "count": len(self.study_ids)},
            {"level": "studies", "group": "no_report", "count": 3},
        ]
        tables.write(self.path("flow.parquet"), tables.from_rows(cohort_tables.FLOW, flow), cohort_tables.FLOW)

    def _write_texts(self):
        texts = [
            {
                "text_id": n, "unit": "study", "language": language, "row": n, "text": f"text {n}",
                "english_text": f"text {n}", "flipped_text_id": n, "is_flipped": False, "num_studies": 1,
            }
            for n, (_, language) in enumerate(self.texts)
        ]  # fmt: skip
        tables.write(
            self.path("texts/texts.parquet"), tables.from_rows(report_tables.TEXTS, texts), report_tables.TEXTS
        )
        pairs = [{"study_id": s, "text_id": text} for s, text in zip(self.study_ids, self.text_of_study, strict=True)]
        tables.write(
            self.path("texts/pairs.parquet"), tables.from_rows(report_tables.PAIRS, pairs), report_tables.PAIRS
        )
        self._write_statements()
        polarities = ("positive", "negative", *["query"] * self.num_queries)
        prompts = [
            {"prompt_id": n, "finding": finding, "polarity": polarity, "language": "en", "text": f"prompt {n}"}
            for n, (polarity, finding) in enumerate((p, f) for p in polarities for f in FINDINGS)
        ]
        tables.write(
            self.path("texts/prompts.parquet"), tables.from_rows(report_tables.PROMPTS, prompts), report_tables.PROMPTS
        )

    def _write_statements(self):
        """What the texts say: each finding of its pattern, or that all is normal."""
        said = [[f for f, label in zip(FINDINGS, labels, strict=True) if label] for labels, _ in self.texts]
        said = [findings or ["normal"] for findings in said]
        rows = [
            {
                "row": n, "study_id": make_id("study", n), "statement": number, "section": "findings",
                "sentence": number, "start": 0, "end": 1, "finding": finding, "signals": [],
                "assertion": "present", "language": language, "text": finding,
            }
            for n, (findings, (_, language)) in enumerate(zip(said, self.texts, strict=True))
            for number, finding in enumerate(findings)
        ]  # fmt: skip
        tables.write(
            self.path("reports/findings.parquet"),
            tables.from_rows(report_tables.FINDINGS, rows),
            report_tables.FINDINGS,
        )
        index = {
            "statement_offsets": np.cumsum([0, *map(len, said)], dtype=np.int64),
            "statement_rows": np.arange(len(rows), dtype=np.int32),
        }
        tensors.write(self.path("texts/embeddings.safetensors"), index)

    def _write_series(self):
        rows = [
            {
                "study_id": study_id, "patient_id": self.patient_ids[n],
                "series_id": make_id("series", f"{n}{sequence}"),
                "scanner_id": make_id("scanner", 0), "vendor": ("siemens", "ge")[n % 2], "sequence": sequence,
                "confidence": 1.0, "orientation": "axial", "spacing_mm": [1.0, 1.0, 5.0], "shape": [8, 8, 4],
                "num_slices": 4, "nifti": "x.nii.gz", "sha256": 4 * make_id("image", f"{n}{sequence}"),
                "age_years": None if n % 5 == 0 else 40.0 + n % 40, "field_strength_t": 1.5,
            }
            for n, study_id in enumerate(self.study_ids)
            for sequence in self.sequences_of(n)
        ]  # fmt: skip
        tables.write(
            self.path("converted/series.parquet"), tables.from_rows(imaging_tables.SERIES, rows), imaging_tables.SERIES
        )
