"""One small export for each way in which a hospital's DICOM goes wrong, and what must become of it."""

from __future__ import annotations

from failure_classes.case import Case
from failure_classes.charsets import CHARACTER_SETS
from failure_classes.contrasts import CONTRASTS, ENHANCED
from failure_classes.damage import BYTES, FILES
from failure_classes.geometry import ACQUISITIONS, GEOMETRY
from failure_classes.objects import OBJECTS

_PARTS = (GEOMETRY, ACQUISITIONS, CONTRASTS, ENHANCED, OBJECTS, CHARACTER_SETS, BYTES, FILES)

CASES: dict[str, Case] = {name: case for part in _PARTS for name, case in part.items()}
