"""Writes ``matrices.md`` and ``matrices.png``: what the report's twelve confusion matrices say.

make report-matrices
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
from matplotlib.figure import Figure

from retinagrade.evaluation.confusion_matrix_file import read_confusion_matrix
from retinagrade.evaluation.integrity.checks import Independence, independence_test
from retinagrade.evaluation.metrics import accuracy, chance_accuracy, majority_baseline, quadratic_weighted_kappa
from retinagrade.evaluation.report.plots import figure_png
from retinagrade.files import write_bytes, write_text
from retinagrade.grades import N_GRADES

HERE: Final = Path(__file__).parent
FIGURES: Final = {
    "scratch-5": "4.12", "vgg16-1": "5.3", "vgg16-2": "5.5", "vgg16-5": "5.13", "vgg16-6": "5.15",
    "mobilenetv2-2": "5.20", "mobilenetv2-4-sgd": "5.30", "mobilenetv2-5-on-3.1": "5.34", "mobilenetv2-7-on-4": "5.42",
    "majority-vote": "6.1", "averaging-accuracy": "6.2", "averaging-recall": "6.3",
}  # fmt: skip
"""The figure of the report that each matrix was copied from."""
SEEING: Final = np.array([[20, 2, 4, 0, 0], [0, 1, 3, 0, 0], [7, 0, 17, 3, 0], [0, 0, 4, 5, 5], [0, 0, 0, 1, 8]])
"""A network that tells grades apart: the README's on 80 photographs of IDRiD."""
_WIDEST = 40

TEXT = """# What the report's twelve matrices say

<!-- Written by `make report-matrices` from docs/report/matrices/*.csv: change docs/report/page.py, not this page. -->

The report prints twelve confusion matrices of {photographs} test photographs (EyePACS). **None of them shows a
network that knows anything about the photographs in front of it.** Each is what you get by dealing the same predicted
grades out at random. That says nothing about how well the networks were trained; it says that these figures can't
tell. Most likely the predictions stand beside the wrong photographs.

## What they say

![Twelve pale heat maps, and one strongly coloured one for comparison](matrices.png)

Every square compares a matrix with chance: by how many percentage points a grade (row) was given a predicted grade
(column) more often (orange) or less often (purple) than photographs of all grades were. A network that sees is orange
along the diagonal and purple far from it, as the last one, which is ours on 80 photographs of IDRiD. The report's
twelve are pale: the largest of their {cells} differences is {largest:.1f} points.

| experiment | figure | accuracy | by chance | always grade 0 | QWK | χ² (degrees) | p | Cramér's V |
|---|---|---|---|---|---|---|---|---|
{rows}
| *for comparison:* IDRiD, 80 photographs | README | {seeing} |

* **accuracy**: the share of photographs whose grade is right. **By chance**: what the same predictions would have if
  they had nothing to do with the photographs (Σ share of a grade × share of its prediction). The two differ by
  {gap:.2f} percentage points at most. **Always grade 0** is right in {majority} of the photographs, more often than
  any of the twelve: an accuracy of 0.73 is no achievement on this set.
* **QWK**, quadratic weighted kappa, is 0 by chance and 1 in perfect agreement. Here it lies between {kappa_low:+.3f}
  and {kappa_high:+.3f}.

## How we know

Pearson's χ² test asks how often independent predictions would give a table that is at least as uneven. *p* is that
probability, and Cramér's V the strength of what was found, from 0 to 1. The smallest of the twelve p is
{smallest:.2f}; among twelve tests of pure chance that is nothing unusual. Where expected counts are below 5 (the
three ensembles hardly ever predict a grade above 1), p is drawn from {drawn} with the same margins; there it is
marked with \\*.

The silence means something: on {photographs} photographs the test finds an association of V = 0.05, which is of no
use to anybody, practically always. Even a poor network would have been seen; in the comparison 80 photographs are
enough.

What makes such tables? Hardly weak networks: most of the twelve gave every grade to hundreds of photographs, and a
weak network that looks at photographs is still wrong in a way that depends on them. Predictions that can't be told
from dealt ones are those of other photographs: grades and predictions were read in two different orders.

## How it happens, and how to avoid it

In Keras, the usual way is two lines that look right:

```python
test = ImageDataGenerator().flow_from_directory("test", shuffle=True)  # True is the default
predicted = model.predict(test).argmax(axis=1)  # in a shuffled order
confusion_matrix(test.classes, predicted)  # .classes: in the order of the folders
```

`model.evaluate(test)` of the same generator is right, because each batch brings its own grades, so that curves and
matrix contradict each other. `tf.data` with `.shuffle()` does the same when the set is read twice: once for the
grades, once for the predictions. `shuffle=False` cures this case, and nothing else: the next sort, filter or dropped
file brings it back. Write down whose prediction it is, and join:

```python
test = ImageDataGenerator().flow_from_directory("test", shuffle=False)
predicted = pd.DataFrame(model.predict(test), columns=["p0", "p1", "p2", "p3", "p4"])
predicted["image_id"] = [Path(name).stem for name in test.filenames]
table = predicted.merge(labels, on="image_id", validate="1:1")  # an error where ids are missing or repeated
```

`p0` … `p4` must be grades 0 … 4: `flow_from_directory` numbers folders alphabetically, so name them `0` … `4`. Then

    retinagrade evaluate predictions.csv --grades labels.csv

joins by `image_id` and says whether the predictions have anything to do with the grades. Where they have not, it also
tries the usual accidents (rows shifted, reversed, sorted by another name, in the order of folders) and names the one
that puts them right. What was shuffled can't be put right; predict again. For a matrix alone:

    retinagrade evaluate --confusion-matrix docs/report/matrices/vgg16-5.csv
"""


def page(matrices: dict[str, np.ndarray]) -> str:
    """The text.

    Args:
        matrices: Counts (5, 5) of every matrix, by name.
    """
    tests = {name: independence_test(matrix) for name, matrix in matrices.items()}
    kappas = [quadratic_weighted_kappa(matrix) for matrix in matrices.values()]
    first = next(iter(matrices.values()))
    differences = np.array([beyond_chance(matrix) for matrix in matrices.values()])
    return TEXT.format(
        photographs=f"{first.sum():,}",
        majority=f"{majority_baseline(first):.1%}".replace("%", " %"),
        rows="\n".join(
            f"| `{name}` | {FIGURES[name]} | {_cells(matrix, tests[name])} |" for name, matrix in matrices.items()
        ),
        seeing=_cells(SEEING, independence_test(SEEING)),
        gap=100 * max(abs(accuracy(matrix) - chance_accuracy(matrix)) for matrix in matrices.values()),
        kappa_low=min(kappas),
        kappa_high=max(kappas),
        smallest=min(test.p_value for test in tests.values()),
        largest=np.abs(differences).max(),
        cells=differences.size,
        drawn="9,999 random tables",
    )


def picture(matrices: dict[str, np.ndarray]) -> Figure:
    """The heat maps, and :data:`SEEING` as the last one."""
    shown = {**matrices, "for comparison: IDRiD": SEEING}
    figure = Figure(figsize=(11, 7.2), layout="constrained")
    grid = figure.subplots(3, 5).ravel()
    for axes, (name, matrix) in zip(grid, shown.items(), strict=False):
        values = beyond_chance(matrix)
        image = axes.imshow(values, cmap="PuOr_r", vmin=-_WIDEST, vmax=_WIDEST)
        for (row, column), value in np.ndenumerate(values):
            colour = "white" if abs(value) > 0.7 * _WIDEST else "black"
            axes.text(column, row, f"{value:+.0f}" if abs(value) >= 0.5 else "0", ha="center", va="center", fontsize=7,
                      color=colour)  # fmt: skip
        axes.set_title(name, fontsize=9, fontweight="bold" if matrix is SEEING else "normal")
        axes.set(xticks=range(N_GRADES), yticks=range(N_GRADES), xlabel="predicted grade", ylabel="grade")
        axes.tick_params(labelsize=7)
        axes.xaxis.label.set_size(7)
        axes.yaxis.label.set_size(7)
    for axes in grid[len(shown) :]:
        axes.set_axis_off()
    figure.colorbar(image, ax=list(grid[-2:]), label="points beyond chance", shrink=0.9)
    return figure


def beyond_chance(matrix: np.ndarray) -> np.ndarray:
    """Observed minus expected counts in per cent of each row (5, 5): what a grade changes of the predictions."""
    expected = np.outer(matrix.sum(axis=1), matrix.sum(axis=0)) / matrix.sum()
    share: np.ndarray = 100 * (matrix - expected) / matrix.sum(axis=1, keepdims=True)
    return share


def read_matrices() -> dict[str, np.ndarray]:
    """The report's matrices, in its order."""
    return {name: read_confusion_matrix(HERE / "matrices" / f"{name}.csv") for name in FIGURES}


def _cells(matrix: np.ndarray, test: Independence) -> str:
    drawn = "" if test.method == "chi-squared" else "\\*"
    p_value = f"{test.p_value:.2f}" if test.p_value >= 0.001 else "< 0.001"
    figures = (accuracy(matrix), chance_accuracy(matrix), majority_baseline(matrix))
    cells = [f"{value:.4f}" for value in figures] + [f"{quadratic_weighted_kappa(matrix):+.3f}"]
    cells += [f"{test.chi2:.1f} ({test.degrees_of_freedom})", p_value + drawn, f"{test.cramers_v:.3f}"]
    return " | ".join(cells)


if __name__ == "__main__":
    found = read_matrices()
    write_text(HERE / "matrices.md", page(found))
    write_bytes(HERE / "matrices.png", figure_png(picture(found)))
