"""Writes ``matrices.md`` and ``matrices.png``: an analysis of the report's twelve confusion matrices.

make report-matrices
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from retinagrade.evaluation.confusion_matrix_file import read_confusion_matrix
from retinagrade.evaluation.integrity.independence import Independence, independence_test
from retinagrade.evaluation.metrics import accuracy, chance_accuracy, majority_baseline, quadratic_weighted_kappa
from retinagrade.evaluation.report.plots import figure_png
from retinagrade.grades import N_GRADES
from retinagrade.storage.files import write_bytes, write_text

HERE: Final = Path(__file__).parent
REPORT_FIGURES: Final = {
    "scratch-5": "4.12", "vgg16-1": "5.3", "vgg16-2": "5.5", "vgg16-5": "5.13", "vgg16-6": "5.15",
    "mobilenetv2-2": "5.20", "mobilenetv2-4-sgd": "5.30", "mobilenetv2-5-on-3.1": "5.34", "mobilenetv2-7-on-4": "5.42",
    "majority-vote": "6.1", "averaging-accuracy": "6.2", "averaging-recall": "6.3",
}  # fmt: skip
"""The figure of the report with each matrix."""
COMPARISON: Final = np.array([[20, 2, 4, 0, 0], [0, 1, 3, 0, 0], [7, 0, 17, 3, 0], [0, 0, 4, 5, 5], [0, 0, 0, 1, 8]])
"""The confusion matrix of a network that recognises grades: the README's network on 80 photographs of IDRiD."""
_WIDEST = 40

TEXT = """# The report's twelve confusion matrices

<!-- Written by `make report-matrices` from docs/report/matrices/*.csv: change docs/report/page.py, not this page. -->

The report prints twelve confusion matrices of {photographs} test photographs (EyePACS). **None of them shows a
network whose predictions depend on the photographs.** Each looks as if the same predicted grades had been dealt out
at random. This does not mean that the networks were trained badly; it means that these matrices can't show how well
they were trained. Most likely, the predictions stand beside the wrong photographs.

## What the matrices show

![Twelve pale heat maps, and one strongly coloured one for comparison](matrices.png)

Every square compares a matrix with chance: a grade (row) has a predicted grade (column) more often (orange) or less
often (purple), in percentage points, than photographs of all grades do. A network that recognises grades is orange
along the diagonal and purple far from it, like the last one, ours on 80 photographs of IDRiD. The report's twelve
are pale: the largest of their {cells} differences is {largest:.1f} points.

| experiment | figure | accuracy | by chance | always grade 0 | QWK | χ² (degrees) | p | Cramér's V |
|---|---|---|---|---|---|---|---|---|
{rows}
| *for comparison:* IDRiD, 80 photographs | README | {seeing} |

* **accuracy**: the share of photographs with the right predicted grade. **By chance**: the expected accuracy of the
  same predictions if they were independent of the grades (Σ share of a grade × share of its prediction). The two
  differ by at most {gap:.2f} percentage points. **Always grade 0** is right for {majority} of the photographs, more
  often than any of the twelve: an accuracy of 0.73 is no achievement on this set.
* **QWK**, quadratic weighted kappa, is 0 by chance and 1 for perfect agreement. Here it lies between {kappa_low:+.3f}
  and {kappa_high:+.3f}.

## How the test works

Pearson's χ² test asks how often independent predictions would give a table that is at least as uneven. *p* is this
probability, and Cramér's V is the strength of the association, from 0 to 1. The smallest of the twelve p values is
{smallest:.2f}; among twelve tests of pure chance, this is nothing unusual. If expected counts are below 5 (the three
ensembles hardly ever predict a grade above 1), p comes from {drawn} with the same margins; these values have a \\*.

The large p values mean something: on {photographs} photographs, the test practically always detects an association
of V = 0.05, which would be useless in practice. It would have detected even a poor network; in the comparison, 80
photographs are enough.

Weak networks are an unlikely cause: most of the twelve predicted every grade for hundreds of photographs, and the
mistakes of a weak network still depend on the photographs. Predictions that look like dealt cards are predictions of
other photographs: grades and predictions were read in two different orders.

## How it happens, and how to avoid it

In Keras, the usual way is two lines that look right:

<!-- not run: Keras -->
```python
test = ImageDataGenerator().flow_from_directory("test", shuffle=True)  # True is the default
predicted = model.predict(test).argmax(axis=1)  # in a shuffled order
confusion_matrix(test.classes, predicted)  # .classes: in the order of the folders
```

`model.evaluate(test)` of the same generator is right, because each batch brings its own grades, so curves and matrix
contradict each other. `tf.data` with `.shuffle()` has the same effect if the set is read twice: once for the grades,
once for the predictions. `shuffle=False` solves only this case: the next sort, filter or lost file brings the problem
back. Write the name of the photograph beside each prediction, and join:

<!-- not run: Keras -->
```python
test = ImageDataGenerator().flow_from_directory("test", shuffle=False)
predicted = pd.DataFrame(model.predict(test), columns=["p0", "p1", "p2", "p3", "p4"])
predicted["image_id"] = [Path(name).stem for name in test.filenames]
table = predicted.merge(labels, on="image_id", validate="1:1")  # an error if ids are missing or repeated
```

`p0` … `p4` must be grades 0 … 4: `flow_from_directory` numbers folders alphabetically, so name them `0` … `4`. Then

    retinagrade evaluate predictions.csv --grades labels.csv

joins by `image_id` and tests whether the predictions depend on the grades. If they don't, it also tries the usual
accidents (rows shifted, reversed, sorted by another name, in the order of folders) and names the one that explains
the predictions. Shuffled predictions can't be repaired; predict again. For a matrix alone:

    retinagrade evaluate --confusion-matrix docs/report/matrices/vgg16-5.csv
"""


def page(matrices: dict[str, NDArray[Any]]) -> str:
    """Returns the text of the page.

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
            f"| `{name}` | {REPORT_FIGURES[name]} | {_cells(matrix, tests[name])} |"
            for name, matrix in matrices.items()
        ),
        seeing=_cells(COMPARISON, independence_test(COMPARISON)),
        gap=100 * max(abs(accuracy(matrix) - chance_accuracy(matrix)) for matrix in matrices.values()),
        kappa_low=min(kappas),
        kappa_high=max(kappas),
        smallest=min(test.p_value for test in tests.values()),
        largest=np.abs(differences).max(),
        cells=differences.size,
        drawn="9,999 random tables",
    )


def picture(matrices: dict[str, NDArray[Any]]) -> Figure:
    """Draws the heat maps, with :data:`COMPARISON` as the last one."""
    shown = {**matrices, "for comparison: IDRiD": COMPARISON}
    figure = Figure(figsize=(11, 7.2), layout="constrained")
    grid = figure.subplots(3, 5).ravel()
    for axes, (name, matrix) in zip(grid, shown.items(), strict=False):
        values = beyond_chance(matrix)
        image = axes.imshow(values, cmap="PuOr_r", vmin=-_WIDEST, vmax=_WIDEST)
        for (row, column), value in np.ndenumerate(values):
            colour = "white" if abs(value) > 0.7 * _WIDEST else "black"
            axes.text(column, row, f"{value:+.0f}" if abs(value) >= 0.5 else "0", ha="center", va="center", fontsize=7,
                      color=colour)  # fmt: skip
        axes.set_title(name, fontsize=9, fontweight="bold" if matrix is COMPARISON else "normal")
        axes.set(xticks=range(N_GRADES), yticks=range(N_GRADES), xlabel="predicted grade", ylabel="grade")
        axes.tick_params(labelsize=7)
        axes.xaxis.label.set_size(7)
        axes.yaxis.label.set_size(7)
    for axes in grid[len(shown) :]:
        axes.set_axis_off()
    figure.colorbar(image, ax=list(grid[-2:]), label="points beyond chance", shrink=0.9)
    return figure


def beyond_chance(matrix: NDArray[Any]) -> NDArray[Any]:
    """Returns observed minus expected counts (5, 5), in per cent of each row."""
    expected = np.outer(matrix.sum(axis=1), matrix.sum(axis=0)) / matrix.sum()
    share: NDArray[Any] = 100 * (matrix - expected) / matrix.sum(axis=1, keepdims=True)
    return share


def read_matrices() -> dict[str, NDArray[Any]]:
    """Returns the report's matrices, in the order of the report."""
    return {name: read_confusion_matrix(HERE / "matrices" / f"{name}.csv") for name in REPORT_FIGURES}


def _cells(matrix: NDArray[Any], test: Independence) -> str:
    mark = "" if test.method == "chi-squared" else "\\*"
    p_value = f"{test.p_value:.2f}" if test.p_value >= 0.001 else "< 0.001"
    values = (accuracy(matrix), chance_accuracy(matrix), majority_baseline(matrix))
    cells = [f"{value:.4f}" for value in values] + [f"{quadratic_weighted_kappa(matrix):+.3f}"]
    cells += [f"{test.chi2:.1f} ({test.degrees_of_freedom})", p_value + mark, f"{test.cramers_v:.3f}"]
    return " | ".join(cells)


if __name__ == "__main__":
    all_matrices = read_matrices()
    write_text(HERE / "matrices.md", page(all_matrices))
    write_bytes(HERE / "matrices.png", figure_png(picture(all_matrices)))
