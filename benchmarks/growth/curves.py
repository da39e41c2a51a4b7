"""Costs against a size: the exponent by which they grow, a table and a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.measure import table

_LEAST = {"s": 1e-3, "MB": 1.0}  # what is below cannot be told from nothing


@dataclass
class Growth:
    """Costs of one kind of work at ascending sizes."""

    of: str  # what grows, such as "clips"
    sizes: Sequence[float]
    costs: dict[tuple[str, str], list[float]] = field(default_factory=dict)  # by what costs, and its unit

    def add(self, found: dict[tuple[str, str], float]) -> None:
        """Add the costs at the next size."""
        for what, value in found.items():
            self.costs.setdefault(what, []).append(value)

    def print_table(self) -> None:
        """Print the costs and the exponents by which they grow, of the fit and of the last step alone."""
        header = [self.of, *(f"{size:,g}" for size in self.sizes), "exponent", "of the last step"]
        rows = []
        for (what, unit), values in self.costs.items():
            cells = [f"{value:.3g} s" if unit == "s" else f"{value:.0f} MB" for value in values]
            fit = exponent(self.sizes, values, unit)
            last = exponent(self.sizes[-2:], values[-2:], unit)
            rows.append([what, *cells, f"{fit:.2f}", f"{last:.2f}"])
        table(header, rows)


def exponent(sizes: Sequence[float], values: Sequence[float], unit: str) -> float:
    """Slope of the line through the costs, both axes logarithmic: 0 does not grow, 1 is linear."""
    logs = np.log(np.maximum(values, _LEAST[unit]))
    return float(np.polyfit(np.log(sizes), logs, 1)[0])


def draw(growths: Sequence[Growth], path: Path) -> None:
    """Draw times above and memory below; dotted lines are linear."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.6 * len(growths), 6.4), layout="constrained")
    for column, growth in zip(figure.subplots(2, len(growths), squeeze=False).T, growths, strict=True):
        for axes, unit in zip(column, _LEAST, strict=True):
            curves = {what: np.maximum(v, _LEAST[unit]) for (what, u), v in growth.costs.items() if u == unit}
            if not curves:
                axes.set_axis_off()
                continue
            for what, values in curves.items():
                axes.plot(growth.sizes, values, "o-", label=what)
            highest = max(values[-1] for values in curves.values())
            linear = highest * np.asarray(growth.sizes) / growth.sizes[-1]
            axes.plot(growth.sizes, linear, ":", color="0.6")
            axes.set(xscale="log", yscale="log", xlabel=growth.of)
            axes.set(ylabel="time, s" if unit == "s" else "peak memory over idle, MB")
            axes.set_ylim(bottom=_LEAST[unit])
            axes.grid(True, alpha=0.3)
            axes.legend(fontsize=7)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=90)
