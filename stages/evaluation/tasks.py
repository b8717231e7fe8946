"""The tasks of the results: their declared figure, what their tables show, and how to read it."""

from __future__ import annotations

from stages.evaluation.cases import BLIND, CHANCE, METADATA, MOST_FREQUENT, ORACLE, PRIOR
from stages.evaluation.quantities import (
    ALL,
    CLASSIFICATION,
    FINETUNING,
    LOCALISATION,
    MACRO,
    RECALL_LOSS,
    RETRIEVAL,
    SEGMENTATION,
    SHORTCUTS,
    Quantity,
)
from stages.evaluation.region_task import REGIONS_TASK
from stages.evaluation.text_tasks import GENERATION_TASK
from stages.evaluation.views import Column, Task, View
from stages.evaluation.vqa_task import VQA_TASK

#: the same network trained from scratch, without a pretraining
SCRATCH = "scratch"
#: rows that are no pretraining objective, in the order of the tables
REFERENCES = (CHANCE, BLIND, METADATA, ORACLE, SCRATCH, PRIOR, MOST_FREQUENT)


#: k of the recalls in the tables
RECALLS_AT = (1, 5, 10)
#: k of the precision that is listed for every category
CATEGORY_AT = 10

TASKS = (
    Task(
        name=RETRIEVAL,
        title="Retrieval",
        references=(CHANCE,),
        views=(
            View(
                "",
                (
                    Column("image_to_text/ndcg@10", "nDCG@10, image→text"),
                    Column("text_to_image/ndcg@10", "nDCG@10, text→image"),
                    Column("image_to_image/ndcg@10", "nDCG@10, image→image"),
                    Column("image_to_text/recall@10", "R@10, image→text"),
                    Column("image_to_text/median_rank", "median rank"),
                ),
                is_every_split=True,
            ),
            View(
                "The query's own text, and any text equal to it without signals",
                tuple(
                    Column(f"{direction}/{kind}_recall@{k}", f"{kind} R@{k}, {arrow}")
                    for direction, arrow in (("image_to_text", "image→text"), ("text_to_image", "text→image"))
                    for kind in ("exact", "coarse")
                    for k in RECALLS_AT
                ),
            ),
            View(
                "Category queries",
                tuple(
                    Column(f"category_{direction}/precision@{k}", f"P@{k}, {arrow}")
                    for direction, arrow in (("text_to_image", "text→image"), ("image_to_image", "image→image"))
                    for k in (5, 10, 50)
                ),
            ),
        ),
        by_class=tuple(
            (f"_{direction}", Column(f"category_{direction}/precision@{CATEGORY_AT}", title, classes="each"))
            for direction, title in (
                ("text_to_image", "P@10 by category, asked by sentence"),
                ("image_to_image", "P@10 by category, asked by image"),
            )
        ),
        primary=Quantity(RETRIEVAL, "image_to_text/ndcg@10", "", ALL),
        primary_title="retrieval, nDCG@10",
        reading="nDCG@10 grades the ten nearest by how far their content agrees with what is known of the query's "
        "study, independent of every training similarity; R@k: one of the first k has the same set of statements "
        "(exact: is the query's own text; coarse: equals it once signals are collapsed); P@k: share of the first k "
        "that show the finding that a category query, an image or a sentence, asks for.",
        missing="no report of an evaluated split is linked to images",
    ),
    Task(
        name=CLASSIFICATION,
        title="Classification",
        references=(CHANCE, METADATA),
        views=(
            View(
                "",
                (
                    Column("zero_shot/auc", "zero-shot AUC"),
                    Column("linear_probe/auc", "probe AUC", amounts="shares"),
                    Column("supervised/auc", "supervised AUC"),
                ),
                is_every_split=True,
            ),
            View("Few labels", (Column("linear_probe/auc", "probe AUC", amounts="shots"),)),
            View(
                "A sequence that no pretraining saw",
                (
                    Column("zero_shot_transfer/auc", "zero-shot AUC"),
                    Column("linear_probe_transfer/auc", "probe AUC", amounts="shares"),
                ),
                is_every_split=True,
            ),
            View(
                "Two-class tasks",
                (
                    Column("zero_shot/auc", "zero-shot AUC", classes="subtypes"),
                    Column("linear_probe/auc", "probe AUC", amounts="shares", classes="subtypes"),
                ),
            ),
            View(
                "Balanced accuracy, threshold from validation",
                (
                    Column("zero_shot/balanced_accuracy", "zero-shot"),
                    Column("linear_probe/balanced_accuracy", "probe", amounts="shares"),
                    Column("supervised/balanced_accuracy", "supervised"),
                ),
            ),
        ),
        primary=Quantity(CLASSIFICATION, "zero_shot/auc", "", MACRO),
        primary_title="classification, zero-shot AUC",
        reading="Zero-shot: cosine to the positive minus cosine to the negative prompts. Probe: logistic regression on "
        "frozen image embeddings with a share of the training labels, or a count of each label, mean over nested draws "
        "that all methods share. AUC is the mean over the classes with enough positives; two-class tasks stand by "
        "themselves. `metadata` is the same probe on sequences present, vendor, spacing, age and field strength.",
        missing="no study of an evaluated split has a label",
        by_class=(
            ("_zero_shot", Column("zero_shot/auc", "zero-shot AUC by class", classes="each")),
            (
                "_probe",
                Column("linear_probe/auc", "probe AUC with all labels by class", amounts="most", classes="each"),
            ),
        ),
    ),
    Task(
        name=FINETUNING,
        title="Fine-tuning",
        references=(),
        views=(
            View("", (Column("fine_tuning/auc", "AUC", amounts="shares"),), is_every_split=True),
            View("Few labels", (Column("fine_tuning/auc", "AUC", amounts="shots"),)),
            View(
                "Two-class tasks",
                (
                    Column("fine_tuning/auc", "AUC", amounts="shares", classes="subtypes"),
                    Column("fine_tuning/auc", "AUC", amounts="shots", classes="subtypes"),
                ),
            ),
            View(
                "Balanced accuracy, threshold from validation",
                (Column("fine_tuning/balanced_accuracy", "accuracy", amounts="shares"),),
            ),
        ),
        primary=Quantity(FINETUNING, "fine_tuning/auc", "", MACRO, 0.1),
        primary_title="fine-tuning, AUC at 10% of labels",
        reading="The image encoder is trained on with one multi-label head, for the same number of updates by every "
        "method; seed k learns from draw k of the labels, which all methods share. `random` is the same network from "
        "its initial weights. AUC as in classification.",
        missing="no study of training and of an evaluated split has a label",
        by_class=(("", Column("fine_tuning/auc", "AUC with all labels by class", amounts="most", classes="each")),),
    ),
    Task(
        name=SEGMENTATION,
        title="Segmentation",
        references=(SCRATCH,),
        views=(
            View(
                "",
                (Column("dice", "Dice", amounts="shares"), Column("hd95_mm", "HD95 (mm)", amounts="shares")),
                is_every_split=True,
            ),
            View("Dice of studies with each lesion type", (Column("dice", "", amounts="most", classes="each"),)),
            View(
                "HD95 (mm) of studies with each lesion type", (Column("hd95_mm", "", amounts="most", classes="each"),)
            ),
        ),
        primary=Quantity(SEGMENTATION, "dice", "", ALL, 0.1),
        primary_title="segmentation, Dice at 10% of masks",
        reading="The encoder under a UNETR-style decoder, trained with a share of the training masks, mean over "
        "studies with a lesion; a study with several lesion types counts whole for each of them. HD95, the 95th "
        "percentile of the distance between surfaces, is better where it is smaller; where nothing is outlined it is "
        "the diagonal of the image. "
        "`random` is the untrained encoder, `scratch` the same network trained from scratch with the same budget.",
        missing="no lesion masks in training or in the evaluated splits (`cohort.masks`)",
        labels_name="masks",
        by_class=(("", Column("dice", "Dice with all masks by lesion type", amounts="most", classes="each")),),
    ),
    Task(
        name=LOCALISATION,
        title="Localisation",
        references=(CHANCE, ORACLE),
        views=(
            View(
                "",
                (
                    Column("prompt/pointing_game", "pointing game"),
                    Column("prompt/iou", "IoU"),
                    Column("prompt/average_precision", "mAP"),
                    Column("prompt/contrast_to_noise", "CNR"),
                ),
                is_every_split=True,
            ),
            View(
                "By sentences of the report",
                (
                    Column("sentence/pointing_game", "pointing game"),
                    Column("sentence/iou", "IoU"),
                    Column("sentence/average_precision", "mAP"),
                    Column("sentence/contrast_to_noise", "CNR"),
                ),
            ),
            View("Pointing game by finding and size", (Column("prompt/pointing_game", "", classes="each"),)),
        ),
        primary=Quantity(LOCALISATION, "prompt/pointing_game", "", ALL),
        primary_title="localisation, pointing game",
        reading="Similarity of a phrase to each patch of the head, without further training, against the lesion mask. "
        "Pointing game: the highest patch is the lesion's; IoU at the threshold that serves validation best; mAP: "
        "average precision of the patches; CNR: contrast of lesion to head over noise. `oracle` is the true mask at "
        "the resolution of the patches, `chance` a map without information.",
        missing="no lesion masks in the evaluated splits (`cohort.masks`)",
        by_class=(("", Column("prompt/pointing_game", "pointing game by finding and size", classes="each")),),
    ),
    REGIONS_TASK,
    GENERATION_TASK,
    VQA_TASK,
    Task(
        name=SHORTCUTS,
        title="Shortcuts",
        references=(),
        views=(
            View(
                "",
                (
                    Column("vendor_accuracy", "vendor told", classes="macro"),
                    Column("field_strength_accuracy", "field strength told", classes="macro"),
                    Column("ndcg_drop", "drop of nDCG@10 without a sequence"),
                ),
                is_every_split=True,
            ),
            View(
                "Drop of nDCG@10 by the sequence withheld",
                (Column("ndcg_drop", "", classes="each"),),
                is_every_split=True,
            ),
        ),
        primary=None,
        primary_title="",
        reading="Vendor and field strength told: balanced accuracy of a probe on frozen image embeddings, fitted on "
        "training studies; chance is one over the number of vendors or strengths, and some of it is no shortcut where "
        "vendors see different diseases. Drop: nDCG@10, image to text, of a study minus that without one of its "
        "sequences. Less is better in both.",
        missing="no study of an evaluated split has several sequences, and scanners do not differ in training",
        by_class=(("", Column("ndcg_drop", "drop of nDCG@10 by the sequence withheld", classes="each")),),
    ),
    Task(
        name=RECALL_LOSS,
        title="False negatives",
        references=(),
        views=tuple(
            View(
                title,
                tuple(
                    Column(f"{direction}/{what}@{k}", f"{name}@{k}")
                    for k in RECALLS_AT
                    for what, name in (("recall", "R"), ("lost_to_equal", "equal "), ("lost_to_near", "near "))
                ),
                is_every_split=True,
            )
            for direction, title in (("text_to_image", ""), ("image_to_text", "Image to text"))
        ),
        primary=None,
        primary_title="",
        reading="Recall of a study's own image by its text, and of its own text by its image (R@k), and what it loses "
        "to an equal text (equal @k: the own match is not among the first k, but that of an equal text is) and to one "
        "that nearly repeats it (near @k). The three add up to the recall of any nearly equal match.",
        missing="no objective shares a space with texts, or no evaluated study has a text",
        is_compared=False,
    ),
)


def is_listed(quantity: Quantity, primary_split: str) -> bool:
    """Tell which quantities the tables list: of what exists for every k and class, that which is asked for.

    Recall at other k than those of the tables is listed for the primary split only, where it is drawn;
    single classes of localisation for the metrics that do not depend on a threshold, single categories for
    one k and the primary split.
    """
    name, _, k = quantity.metric.rpartition("@")
    if name.endswith("_recall") and int(k) not in RECALLS_AT:
        return quantity.split == primary_split
    if quantity.task == LOCALISATION and not quantity.is_whole:
        return quantity.metric in ("prompt/pointing_game", "prompt/average_precision")
    if quantity.metric.startswith("category_") and not quantity.is_whole:
        return int(k) == CATEGORY_AT and quantity.split == primary_split
    return True
