"""Keras's side of ``training.py`` and ``grader.py``: the report's networks, built and timed by Keras 3 on TensorFlow.

It runs in a virtual environment with Keras, TensorFlow and NumPy, without retinagrade: one JSON job on standard input,
one JSON result as the last line of standard output. A job's ``network`` and ``training`` are those sections of an
experiment's YAML.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["KERAS_BACKEND"] = "tensorflow"

import keras
import numpy as np
import tensorflow as tf
from keras import layers

Job = dict[str, Any]
GRADES = 5
BACKBONES = {
    "vgg16": (keras.applications.VGG16, keras.applications.vgg16.preprocess_input),
    "mobilenetv2_100": (keras.applications.MobileNetV2, keras.applications.mobilenet_v2.preprocess_input),
    "resnet50": (keras.applications.ResNet50, keras.applications.resnet50.preprocess_input),
}


def build(network: Job, augmentation: Job | None = None) -> keras.Model:
    """Builds the network like the report: augmentation and input scaling inside, then backbone, pooling and head."""
    side = network["image_size"]
    photographs = keras.Input((side, side, 3))
    pixels = photographs if augmentation is None else augmenting(augmentation)(photographs)
    features = scratch_features(network["scratch"], pixels) if network["scratch"] else backbone(network, pixels)
    features = (layers.GlobalAveragePooling2D() if network["pooling"] == "gap" else layers.Flatten())(features)
    if network["feature_dropout"]:
        features = layers.Dropout(network["feature_dropout"])(features)
    for units in network["dense"]:
        features = layers.Dense(units, activation="relu")(features)
        if network["dense_dropout"]:
            features = layers.Dropout(network["dense_dropout"])(features)
    return keras.Model(photographs, layers.Dense(GRADES, activation="softmax", dtype="float32")(features))


def augmenting(settings: Job) -> keras.Sequential:
    """Makes the augmentation of the report, figure 3.1."""
    black = {"fill_mode": "constant", "fill_value": 0.0}
    return keras.Sequential(
        [
            layers.RandomFlip("vertical"),
            layers.RandomFlip("horizontal"),
            layers.RandomZoom(settings["zoom"], **black),
            layers.RandomRotation(settings["rotation"], **black),
        ]
    )


def scratch_features(settings: Job, pixels: Any) -> Any:
    """Makes the convolutional blocks of the report, chapter 4."""
    features = layers.Rescaling(1 / 255)(pixels)
    for filters, pool in zip(settings["filters"], settings["pools"], strict=True):
        features = layers.Conv2D(filters, settings["kernel"], activation="relu")(features)
        features = layers.MaxPooling2D(pool)(features)
    return features


def backbone(network: Job, pixels: Any) -> Any:
    """Makes a network of ``keras.applications`` with random weights, frozen before the layer that the experiment names.

    A frozen network is called with ``training=False``. In other networks, batch-norm of trained layers is in training
    mode, like on our side, and Keras keeps batch-norm of frozen layers in inference mode.
    """
    make, preprocess = BACKBONES[network["backbone"]]
    side, first = network["image_size"], network["trained_from"]
    base = make(include_top=False, weights=None, input_shape=(side, side, 3))
    if first == "none":
        base.trainable = False
        return base(preprocess(pixels), training=False)
    if first != "all":
        names = [layer.name for layer in base.layers]
        start = next(index for index, name in enumerate(names) if name == first or name.startswith(f"{first}_"))
        for layer in base.layers[:start]:
            layer.trainable = False
    return base(preprocess(pixels))


def compiled(model: keras.Model, training: Job) -> keras.Model:
    """Compiles a model with the report's loss and optimiser, and Keras's default for ``jit_compile``, ``auto``."""
    rate = training["learning_rate"]
    optimizers: dict[str, Callable[[], keras.optimizers.Optimizer]] = {
        "adam": lambda: keras.optimizers.Adam(rate),
        "sgd": lambda: keras.optimizers.SGD(rate, momentum=training["momentum"]),
    }
    model.compile(optimizers[training["optimizer"]](), "categorical_crossentropy", metrics=["accuracy"])
    return model


class Steps(keras.callbacks.Callback):  # type: ignore[misc]  # Keras isn't installed beside mypy
    """Records the start of every step; the time between two starts is the duration of a step."""

    def __init__(self) -> None:
        """Begins without a step."""
        super().__init__()
        self.began: list[float] = []

    def on_train_batch_begin(self, batch: int, logs: object = None) -> None:
        """Records a step of ``fit``."""
        self.began.append(time.perf_counter())

    def on_predict_batch_begin(self, batch: int, logs: object = None) -> None:
        """Records a step of ``predict``."""
        self.began.append(time.perf_counter())

    def typical(self) -> float:
        """Returns the median duration of a step in seconds."""
        return median(after - before for before, after in zip(self.began, self.began[1:], strict=False))


def measure(job: Job) -> Job:
    """Measures a step of ``fit`` or ``predict`` in seconds, with one batch that is repeated from memory."""
    keras.mixed_precision.set_global_policy(job["policy"])
    model = compiled(build(job["network"]), job["training"])
    rng, count, side = np.random.default_rng(0), job["batch"], job["network"]["image_size"]
    photographs = tf.constant(rng.integers(0, 256, (count, side, side, 3)).astype(np.float32))
    grades = tf.constant(np.eye(GRADES, dtype=np.float32)[rng.integers(0, GRADES, count)])
    batches = tf.data.Dataset.from_tensors((photographs, grades)).repeat()

    def run(steps: int) -> float:
        clock = Steps()
        if job["task"] == "train":
            model.fit(batches, steps_per_epoch=steps, verbose=0, callbacks=[clock])
        else:
            model.predict(batches.map(lambda pixels, _: pixels), steps=steps, verbose=0, callbacks=[clock])
        return clock.typical()

    run(2)  # traces the graph
    once = run(3)
    return {"seconds": run(max(4, round(job["seconds"] / once)) + 1), "first": once}


def whole(job: Job) -> Job:
    """Measures ``fit`` of a whole experiment in seconds, with photographs read from their files in every epoch."""
    files, grades = zip(*job["photographs"], strict=True)
    names, labels = tf.constant(files), tf.constant(np.eye(GRADES, dtype=np.float32)[list(grades)])
    validation_files, validation_grades = zip(*job["validation"], strict=True)
    side, count = job["network"]["image_size"], job["training"]["batch_size"]

    def read(name: Any, label: Any) -> Any:
        photograph = tf.io.decode_jpeg(tf.io.read_file(name), channels=3)
        return tf.image.resize(photograph, (side, side)), label

    def batches(names: Any, labels: Any, shuffled: bool) -> tf.data.Dataset:
        order = tf.data.Dataset.from_tensor_slices((names, labels))
        if shuffled:
            order = order.shuffle(len(labels), seed=0)
        return order.map(read, tf.data.AUTOTUNE).batch(count).prefetch(tf.data.AUTOTUNE)

    start = time.perf_counter()
    model = compiled(build(job["network"], job["augmentation"]), job["training"])
    model.fit(
        batches(names, labels, shuffled=True),
        validation_data=batches(
            tf.constant(validation_files),
            tf.constant(np.eye(GRADES, dtype=np.float32)[list(validation_grades)]),
            shuffled=False,
        ),
        epochs=job["training"]["epochs"],
        verbose=0,
    )
    return {"seconds": time.perf_counter() - start}


def cropped(name: Any, side: int) -> Any:
    """Prepares a photograph like the report: decoding, cropping to pixels brighter than 10, then to a square."""
    photograph = tf.io.decode_jpeg(tf.io.read_file(name), channels=3)
    lit = tf.image.rgb_to_grayscale(photograph)[..., 0] > 10
    rows, columns = (tf.where(tf.reduce_any(lit, axis))[:, 0] for axis in (1, 0))
    box = photograph[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    height, width = tf.shape(box)[0], tf.shape(box)[1]
    shorter = tf.minimum(height, width)
    box = tf.image.crop_to_bounding_box(box, (height - shorter) // 2, (width - shorter) // 2, shorter, shorter)
    return tf.image.resize(box, (side, side))


def grade(job: Job) -> Job:
    """Measures reading, preparing and ``predict`` of files in seconds, after a first batch that traces the graph."""
    model, side = build(job["network"]), job["network"]["image_size"]

    def run(files: list[str]) -> float:
        start = time.perf_counter()
        names = tf.data.Dataset.from_tensor_slices(files)
        photographs = names.map(lambda name: cropped(name, side), tf.data.AUTOTUNE)
        model.predict(photographs.batch(job["batch"]).prefetch(tf.data.AUTOTUNE), verbose=0)
        return time.perf_counter() - start

    run(job["files"][: job["batch"]])
    return {"seconds": run(job["files"])}


def count(job: Job) -> Job:
    """Counts total and trainable parameters of networks by ``count_params``."""
    counts = {}
    for name, network in job["networks"].items():
        keras.backend.clear_session()
        model = build(network)
        trainable = sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
        counts[name] = [model.count_params(), trainable]
    return counts


def main() -> None:
    """Runs one job."""
    tasks = {"train": measure, "predict": measure, "whole": whole, "grade": grade, "count": count}
    job = json.load(sys.stdin)
    result = tasks[job["task"]](job)
    print(json.dumps({**result, "keras": keras.__version__, "tensorflow": tf.__version__}))


if __name__ == "__main__":
    main()
