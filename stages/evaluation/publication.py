"""Whether a cohort is the simulated one, which is shown in full."""

from __future__ import annotations

from pathlib import Path

from pydantic import RootModel


class SimulatedFolder(RootModel[Path]):
    """A cohort read from below this folder is simulated."""

    def holds(self, cohort: Path) -> bool:
        """Tell whether a cohort was read from below it."""
        return cohort.resolve().is_relative_to(self.root.resolve())
