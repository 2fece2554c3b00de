"""The reference of the Python interface: mkdocstrings writes the entries, these pages say which and in what order."""

from __future__ import annotations

import inspect
import pkgutil
from importlib import import_module

from docstring_roles import to_markdown

import retinagrade

_STEPS = {
    "data": ("Data", "check prepare split join synthesize run_demo"),
    "training": (
        "Training",
        "experiment_names load_experiment new_experiment train cross_validate leave_one_data_set_out sweep "
        "find_learning_rate tune predict ensemble",
    ),
    "lesions": ("Lesions and gate", "outline fit_grades evaluate_lesions train_gate export_gate calibrate_gate"),
    "evaluation": (
        "Evaluation",
        "plan evaluate evaluate_confusion_matrix compare calibrate explain measure_lesion_agreement",
    ),
    "grading": ("Grading", "export grade validate adapt localize monitor serve listen"),
}
"""Pages of functions: title, and names."""
_ROOMS = {
    "images": "Reading, field of view, preparation and made-up cameras: works on arrays, without a framework.",
    "evaluation.metrics": "Every metric as a pure function of arrays.",
    "evaluation.integrity": "The tests that say when not to believe an accuracy.",
    "evaluation.fitting": "Temperature, thresholds, cuts and prediction sets.",
    "lesion_maps": "From lesion maps to lesions, numbers, outlines and a grade.",
    "gate": "Whether a photograph can be graded.",
    "models": "Networks: backbones, heads, outputs, weights.",
    "datasets": "The decorator that adds a reader, and what readers call.",
    "datasets.readers": "One reader for each layout of a data set.",
    "grader": "What a grader returns: gradings with lesions and their outlines, and the metadata of its file.",
}
"""Rooms whose modules other programs may want to call."""
_SHOWN = {"datasets": {"reader", "labels"}, "grader": {"runtime", "lesions", "lesion_files", "metadata", "eyes"}}
"""Modules of the rooms that don't show all of theirs."""
_ROOM_NOTE = "The interface is `import retinagrade`. Names of a room may change from one version to the next.\n"


def python_pages() -> dict[str, str]:
    """Writes the pages of the public names, and of the rooms.

    Returns:
        Markdown by the path of the page below ``docs``.

    Raises:
        ValueError: A public function stands on no page.
    """
    public = {name: getattr(retinagrade, name) for name in retinagrade.__all__ if name != "__version__"}
    functions = {name for name, value in public.items() if inspect.isfunction(value)}
    listed = {name for _, names in _STEPS.values() for name in names.split()}
    if functions != listed:
        raise ValueError(f"docs/website/python_pages.py: on no page, or unknown: {sorted(functions ^ listed)}")
    classes = {name: value for name, value in public.items() if inspect.isclass(value)}
    errors = [name for name, value in classes.items() if issubclass(value, Exception)]
    pages = {page: (title, names.split()) for page, (title, names) in _STEPS.items()}
    pages["classes"] = ("Results and settings", sorted(set(classes) - set(errors)))
    pages["errors"] = ("Errors", errors)
    pages["types"] = ("Names of types", sorted(set(public) - functions - set(classes)))
    written = {f"reference/python/{page}.md": _entries(title, names) for page, (title, names) in pages.items()}
    return {"reference/python/index.md": _overview(pages)} | written | _room_pages()


def _entries(title: str, names: list[str]) -> str:
    return f"# {title}\n\n" + "\n\n".join(f"::: retinagrade.{name}" for name in names) + "\n"


def _overview(pages: dict[str, tuple[str, list[str]]]) -> str:
    package = inspect.getdoc(retinagrade) or ""
    text = ["# Python", to_markdown(package)]
    for page, (title, names) in pages.items():
        text.append(f"## [{title}]({page}.md)")
        text.append("\n".join(f"* [`{name}`][retinagrade.{name}]{_summary(name)}" for name in names))
    return "\n\n".join(text)


def _summary(name: str) -> str:
    value = getattr(retinagrade, name)
    if not (inspect.isfunction(value) or inspect.isclass(value)):
        return ""
    first = (inspect.getdoc(value) or "").split("\n\n")[0].split(". ")[0]
    return ": " + to_markdown(" ".join(first.split()).rstrip("."), link=False)


def _room_pages() -> dict[str, str]:
    return {f"reference/rooms/{room.replace('.', '-')}.md": _room_page(room, text) for room, text in _ROOMS.items()}


def _room_page(room: str, text: str) -> str:
    package = import_module(f"retinagrade.{room}")
    modules = [
        f"retinagrade.{room}.{each.name}"
        for each in pkgutil.iter_modules(package.__path__)
        if not each.ispkg and not each.name.startswith("_") and each.name in _SHOWN.get(room, {each.name})
    ]
    options = "    options:\n      show_root_heading: false"
    entries = "\n\n".join(f"## {name}\n\n::: {name}\n{options}" for name in modules)
    return f"# {room}\n\n{text} {_ROOM_NOTE}\n{entries}\n"
