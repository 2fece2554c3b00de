"""Structured logs: one JSON object per line, and nothing of patients: no names, no ids, no pixels."""

from __future__ import annotations

import json
import logging
import traceback
import warnings
from datetime import UTC, datetime
from logging.config import dictConfig
from typing import Any, Final

LOGGER: Final = logging.getLogger("retinagrade.service")


class JsonFormatter(logging.Formatter):
    """Formats a record as a line of JSON: time, level, event, and the fields from ``extra={"fields": …}``.

    An exception appears as its type and its lines of code. Its message is left out, since it may quote a file.
    """

    def __init__(self, worker: int | None = None) -> None:
        """Makes a formatter; see :func:`configure_logging`."""
        super().__init__()
        self._worker = {} if worker is None else {"worker": worker}

    def format(self, record: logging.LogRecord) -> str:
        """Formats a record; see :class:`logging.Formatter`."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **self._worker,
            **getattr(record, "fields", {}),
        }
        if record.exc_info and record.exc_info[0] is not None:
            frames = traceback.extract_tb(record.exc_info[2])
            line["exception"] = record.exc_info[0].__name__
            line["traceback"] = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
        return json.dumps(line, ensure_ascii=False)


def log_event(event: str, **fields: Any) -> None:
    """Logs an event with its fields."""
    LOGGER.info(event, extra={"fields": fields})


def configure_logging(worker: int | None = None) -> None:
    """Sends our records and uvicorn's to standard error, and silences libraries, whose messages may quote a file.

    Args:
        worker: Number of this process among several that serve one address; every line states it.
    """
    warnings.simplefilter("ignore")
    lines: dict[str, Any] = {"handlers": ["lines"], "level": "INFO", "propagate": False}
    dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"json": {"()": JsonFormatter, "worker": worker}},
            "handlers": {
                "lines": {"class": "logging.StreamHandler", "formatter": "json"},
                "nowhere": {"class": "logging.NullHandler"},
            },
            "root": {"handlers": ["nowhere"]},
            "loggers": {LOGGER.name: lines, "uvicorn.error": {**lines, "level": "WARNING"}},
        }
    )
