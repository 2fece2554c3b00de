"""Storage commitment: a program asks whether its photographs are safe, and the node answers.

Source: DICOM PS3.4 Annex J (Storage Commitment Service Class).
"""

from __future__ import annotations

from typing import Final

from pydicom import Dataset
from pydicom.uid import UID

from retinagrade.node.queue import Queue
from retinagrade.node.rows import Commitment

ALL_SAFE: Final = 1
"""Event type: all photographs are safe."""
SOME_MISSING: Final = 2
"""Event type: some photographs are not."""
_NO_SUCH_INSTANCE: Final = 0x0112


def parse_request(request: Dataset, caller: str) -> Commitment | None:
    """Reads a request; ``None`` where it lacks something.

    Args:
        request: The action information of N-ACTION.
        caller: Title of the program that asks.
    """
    transaction = str(request.get("TransactionUID") or "")
    references = tuple(
        (str(item.get("ReferencedSOPClassUID") or ""), str(item.get("ReferencedSOPInstanceUID") or ""))
        for item in request.get("ReferencedSOPSequence") or ()
    )
    named = [transaction, *(uid for reference in references for uid in reference)]
    if not references or not all(UID(uid).is_valid for uid in named):
        return None
    return Commitment(transaction, caller.strip(), references)


def answer_request(commitment: Commitment, queue: Queue) -> tuple[int, Dataset]:
    """Answers a request.

    Returns:
        Event type and event information of N-EVENT-REPORT.
    """
    answer = Dataset()
    answer.TransactionUID = commitment.transaction
    safe, missing = [], []
    for sop_class, uid in commitment.references:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, uid
        if queue.holds(sop_class, uid):
            safe.append(item)
        else:
            item.FailureReason = _NO_SUCH_INSTANCE
            missing.append(item)
    if safe:
        answer.ReferencedSOPSequence = safe
    if missing:
        answer.FailedSOPSequence = missing
    return (SOME_MISSING if missing else ALL_SAFE), answer
