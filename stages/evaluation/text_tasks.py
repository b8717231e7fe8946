"""Tasks whose answers are texts: their declared figure, what their tables show, and how to read it."""

from __future__ import annotations

from stages.evaluation.cases import MOST_FREQUENT
from stages.evaluation.quantities import ALL, DECODER, GENERATION, NEAREST, OWN, Quantity
from stages.evaluation.views import Column, Task, View

_FINDINGS = (
    ("findings_f1", "findings F1"),
    ("findings_precision", "findings precision"),
    ("findings_recall", "findings recall"),
)
_WORDS = (("rouge_l", "ROUGE-L"), ("meteor", "METEOR"), ("cider", "CIDEr"))
_BLEU = tuple((f"bleu_{n}", f"BLEU-{n}") for n in (1, 2, 3, 4))

GENERATION_TASK = Task(
    name=GENERATION,
    title="Report generation",
    references=(MOST_FREQUENT,),
    views=(
        View(
            "",
            tuple(Column(f"{DECODER}/{metric}", title) for metric, title in (*_FINDINGS, _BLEU[3], *_WORDS)),
            is_every_split=True,
        ),
        View(
            "Decoder of the method's own",
            tuple(Column(f"{OWN}/{metric}", title) for metric, title in (*_FINDINGS, _BLEU[3], *_WORDS)),
            is_every_split=True,
        ),
        View("Word for word a training report", (Column(f"{DECODER}/copied", "share of texts"),), is_every_split=True),
        View(
            "Report of the most similar training image",
            tuple(Column(f"{NEAREST}/{metric}", title) for metric, title in (*_FINDINGS, _BLEU[3], *_WORDS)),
            is_every_split=True,
        ),
        View(
            "Findings with their side and site, and shorter word sequences",
            tuple(
                Column(f"{kind}/{metric}", f"{title}, {kind}")
                for kind in (DECODER, NEAREST)
                for metric, title in (("side_f1", "F1 with side"), ("site_f1", "F1 with site"), *_BLEU[:3])
            ),
        ),
        View("F1 by finding, decoder", (Column(f"{DECODER}/findings_f1", "", classes="each"),)),
    ),
    primary=Quantity(GENERATION, f"{DECODER}/findings_f1", "", ALL),
    primary_title="report generation, findings F1",
    reading="One small decoder writes the reports of every method, from the embedding of a report that a linear map "
    "makes of the frozen image embedding; beside it the report of the training study whose image is most similar "
    "(nearest). Findings are what our own extractor reads as present or possible in what was written, against the "
    "study's own report; micro averages, in which a patient counts with all of its findings, and that all is normal "
    "is no finding (a class of its own). BLEU is of single texts and smoothed; METEOR knows equal words and stems, no "
    "synonyms. A few hundred reports teach little language: much of what is written is a training report word for "
    "word, and some of the rest is no proper sentence. `most_frequent` is the report that most training studies have.",
    missing="no study of training and of an evaluated split has a report",
    labels_name="reports",
    by_class=(("", Column(f"{DECODER}/findings_f1", "F1 by finding", classes="each")),),
)
