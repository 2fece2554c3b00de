"""The pages of the documentation, and the blocks of code in them."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted(path for path in (ROOT / "docs").rglob("*.md") if "website" not in path.parts)]
_PYTHON = re.compile(r"(?<!-->\n)^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_INDENTED = re.compile(r"^    (.*)", re.MULTILINE)


def python_blocks(page: Path) -> list[str]:
    """Returns the blocks of Python that a reader can run; ``<!-- not run: REASON -->`` stands before any other."""
    return _PYTHON.findall(page.read_text(encoding="utf-8"))


def commands(page: Path) -> list[str]:
    """Returns the commands of retinagrade in the blocks of a page, without the remarks behind them."""
    text = page.read_text(encoding="utf-8")
    fenced = [block for kind, block in _FENCED.findall(text) if kind in ("", "sh")]
    blocks = "\n".join([*fenced, *_INDENTED.findall(_FENCED.sub("", text.replace("\\\n", " ")))])
    lines = [line.strip() for line in blocks.replace("\\\n", " ").splitlines()]
    return [re.sub(r"\s+#.*", "", line) for line in lines if line.startswith("retinagrade ")]
