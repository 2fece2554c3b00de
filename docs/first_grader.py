"""From a folder of photographs to a grader file, by the Python interface alone.

A script in cells (``# %%``), which editors and Jupyter run one by one. ``python docs/first_grader.py [FOLDER]`` runs
all of them and writes to FOLDER (by default ``first-grader``). The photographs are synthetic; replace ``source`` by
your own folder.
"""

# %% A data set: 48 synthetic photographs of 24 patients, with labels and lesion masks
import sys
from pathlib import Path

import retinagrade

out = Path(sys.argv[1] if len(sys.argv) > 1 else "first-grader")
source = out / "source"
if not source.is_dir():
    retinagrade.synthesize(source, 48, size=192, seed=1)

# %% Look at the data first: corrupt files, copies, conflicting grades, leaks
check = retinagrade.check(source)
print(check)
check.write(out / "check")  # check.html shows the findings with thumbnails

# %% Prepare: find the field of view, crop, resize. Split by patient
prepared = retinagrade.prepare(source, out / "prepared", size=128)
prepared = retinagrade.split(out / "prepared", val=0.25, test=0.25)
print(prepared)

# %% Train: a head on a pretrained network, whose features are computed once
run = retinagrade.train(
    out / "prepared",
    "efficientnet-lite0",
    out / "run",
    settings=["network.image_size=128", "network.trained_from=none", "training.epochs=20"],
)
print(run)
print(run.history())

# %% Calibrate on the validation photographs, then predict and evaluate the test photographs
calibration = retinagrade.calibrate(run.folder)
predictions = retinagrade.predict(out / "prepared", run, split="test")
evaluation = retinagrade.evaluate(predictions, resamples=200)
print(evaluation)  # metrics with intervals, and findings: reasons not to believe them
evaluation.write(out / "evaluation")  # report.html and metrics.json

# %% Export one file, and grade photographs with it: no deep-learning framework needed
retinagrade.export(run, out / "grader.onnx")
results = retinagrade.grade([source / "photographs"], model=out / "grader.onnx", out=out / "results.csv")
print(results)
