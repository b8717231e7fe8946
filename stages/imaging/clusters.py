"""Name the clusters of a measured value, so that no fixed boundary falls between two images of one volume."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from statistics import median


def name_clusters(
    values: Iterable[float], *, max_step: float, max_spread: float, name_of: Callable[[float], str]
) -> dict[float, str]:
    """Name the cluster of each value.

    Args:
        values: values of the images of a series.
        max_step: a new cluster begins where the next larger value is further away than this.
        max_spread: or where it is further away than this from the first of its cluster.
        name_of: name of a cluster by its median; where it is taken already the median is added.

    Returns:
        Name for each value.
    """
    clusters: list[list[float]] = []
    for value in sorted(set(values)):
        if clusters and value - clusters[-1][-1] <= max_step and value - clusters[-1][0] <= max_spread:
            clusters[-1].append(value)
        else:
            clusters.append([value])
    names: dict[float, str] = {}
    taken: set[str] = set()
    for cluster in clusters:
        middle = median(cluster)
        name = name_of(middle)
        name = f"{name}:{middle:g}" if name in taken else name
        taken.add(name)
        names |= dict.fromkeys(cluster, name)
    return names
