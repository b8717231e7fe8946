"""One small export for each way in which a hospital's DICOM goes wrong, and what must become of it."""

from __future__ import annotations

from failure_classes.case import Case
from failure_classes.contrasts import CONTRASTS, ENHANCED
from failure_classes.damage import BYTES, FILES
from failure_classes.geometry import ACQUISITIONS, GEOMETRY
from failure_classes.objects import OBJECTS

CASES: dict[str, Case] = GEOMETRY | ACQUISITIONS | CONTRASTS | ENHANCED | OBJECTS | BYTES | FILES
