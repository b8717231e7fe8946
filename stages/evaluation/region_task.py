"""Findings in regions of the atlas as a task of the results."""

from __future__ import annotations

from stages.evaluation.cases import CHANCE, PRIOR
from stages.evaluation.quantities import REGIONS
from stages.evaluation.views import Column, Task, View

#: endings of the rows of an objective's own head, and of the control whose regions are exchanged
OWN, SHUFFLED = "_own", "_own_shuffled"

REGIONS_TASK = Task(
    name=REGIONS,
    title="Regions",
    references=(CHANCE, PRIOR),
    views=(
        View(
            "",
            (Column("region_ap", "mAP of regions"), Column("region_presence/auc", "presence AUC")),
            is_every_split=True,
        ),
        View("mAP of regions by finding", (Column("region_ap", "", classes="each"),)),
        View("Presence AUC by finding", (Column("region_presence/auc", "", classes="each"),)),
    ),
    primary=None,
    primary_title="",
    reading="In which regions of the atlas a finding lies, of those that the image shows. mAP: average precision "
    "of the regions of a study, ranked for a finding that lies in one of them. Presence AUC: over all regions of "
    "all studies together, mean over the findings with enough studies; to know that a study has a finding already "
    "raises it. Scores are cosines of the positive prompts with the patches of a region, pooled as serves "
    "validation best. Regions overlap, and only the one that is named of a lesion counts as right. "
    "`_own`: the presence head of the objective itself; "
    "`_own_shuffled`: the same head with the "
    "regions of each study exchanged. `prior` is how often the finding lies in each region in training studies.",
    missing="no study with a registered atlas has lesions of known place (`cohort.truth`)",
    by_class=(("", Column("region_ap", "mAP of regions by finding", classes="each")),),
    own_rows=(OWN, SHUFFLED),
)
