"""Training curves through DVCLive, in files that ``dvc plots show`` draws."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import TracebackType

from dvclive.live import Live


class Curves:
    """Curves of one training; a resumed training writes them anew up to where it stands.

    Attributes:
        history: the points so far, to be kept in checkpoints.
    """

    def __init__(self, folder: Path, history: list[dict[str, float]], *, is_written: bool = True) -> None:
        """Start the curves anew; of several processes that train together, only one writes them."""
        self._live: Live | None = None
        if is_written:
            shutil.rmtree(folder, ignore_errors=True)
            self._live = Live(dir=str(folder), dvcyaml=None, save_dvc_exp=False)
        self.history: list[dict[str, float]] = []
        for point in history:
            self.add(**point)

    def add(self, step: float, **figures: float) -> None:
        """Add one point to every named curve."""
        self.history.append({"step": step, **figures})
        if self._live is None:
            return
        self._live.step = int(step)
        for name, value in figures.items():
            self._live.log_metric(name, value)
        self._live.make_summary()

    def __enter__(self) -> Curves:
        return self

    def __exit__(self, *error: type[BaseException] | BaseException | TracebackType | None) -> None:
        if self._live is not None:
            self._live.end()
