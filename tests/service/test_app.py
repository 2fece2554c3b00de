"""The interface of the service: results, errors, limits, logs and metrics."""

from __future__ import annotations

import asyncio
import csv
import json
import logging
import os
import re
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx2
import numpy as np
import openpyxl
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from fhir.resources.R4B.bundle import Bundle
from numpy.typing import NDArray
from pydicom import uid

from retinagrade import Grader, grade
from retinagrade.execution.guarded import GuardedProcess
from retinagrade.gate.inputs import FRAME, SQUARE
from retinagrade.grader.eyes import UNKNOWN
from retinagrade.grader.metadata import Metadata
from retinagrade.grader.runtime import PreparedPhotograph
from retinagrade.grades import PROBABILITY_COLUMNS
from retinagrade.gradings.grading import Grading
from retinagrade.gradings.studies import StudyGrading, grade_studies
from retinagrade.images.decoding import InMemory
from retinagrade.row_check import CHECK
from retinagrade.service import pipeline
from retinagrade.service.app import create_app
from retinagrade.service.decoding import DecodedPhotograph, Decoder, decode_photograph
from retinagrade.service.logs import LOGGER, JsonFormatter
from retinagrade.service.pictures import Drawing
from retinagrade.service.schemas import GradeResponse
from retinagrade.service.settings import PHOTOGRAPHS, ServiceSettings
from tests.grader.graders import metadata
from tests.grader.lesion_graders import draw_photograph, write_lesion_grader
from tests.images.dicom_files import write_dicom
from tests.images.encoded_files import encoded, giant, gradient

Files = list[tuple[str, tuple[str, bytes]]]
NAMES = {each.name for each in fields(Grading)}
STUDY_NAMES = {each.name for each in fields(StudyGrading)}
ORIGIN = {
    "model",
    "grader_digest",
    "referral",
    "referable_threshold",
    "vision_threatening_threshold",
    "oedema_threshold",
    "graded_at",
}
"""When, by which grader file and by which rules a result was made."""


def mark_bad(file: InMemory, metadata: Metadata, settings: ServiceSettings) -> DecodedPhotograph:
    """Decodes; a file that isn't a photograph becomes pixels that the test recognises."""
    if file.data == b"bad":
        square = np.full((metadata.image_size, metadata.image_size, 3), 77, np.uint8)
        inputs = (np.full((FRAME, FRAME, 3), 77, np.uint8), np.full((SQUARE, SQUARE, 3), 77, np.uint8))
        return DecodedPhotograph(PreparedPhotograph(file.stem, file.name, UNKNOWN, square, inputs))
    return decode_photograph(file, metadata.preparation.settings(), metadata.image_size, settings.max_megapixels)


def misbehave(file: InMemory, metadata: Metadata, settings: ServiceSettings) -> DecodedPhotograph:
    """Decodes; some files do harm, as a decoder's error might."""
    if file.data == b"slow":
        time.sleep(3600)
    if file.data == b"greedy":
        bytearray(64 << 30)
    if file.data == b"deadly":
        os.kill(os.getpid(), signal.SIGSEGV)
    if file.data == b"odd":
        raise RuntimeError("odd")
    return decode_photograph(file, metadata.preparation.settings(), metadata.image_size, settings.max_megapixels)


def decoder_of(work: Callable[..., DecodedPhotograph]) -> Callable[..., Decoder]:
    """Returns a function that starts processes with this work instead."""

    def start(metadata: Metadata, settings: ServiceSettings) -> Decoder:
        return GuardedProcess(
            partial(work, metadata=metadata, settings=settings),
            seconds=settings.photograph_seconds,
            memory=settings.photograph_bytes,
            patience=0.1,
        )

    return start


def files(*named: tuple[str, bytes]) -> Files:
    return [("photographs", file) for file in named]


@pytest.fixture(scope="module")
def client(grader: Grader) -> Iterator[TestClient]:
    with TestClient(create_app(grader, ServiceSettings()), raise_server_exceptions=False) as made:
        yield made


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Iterator[list[str]]:
    """Lines of the log in their written form."""
    written: list[str] = []

    class ListHandler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            written.append(JsonFormatter().format(record))

    handler = ListHandler()
    LOGGER.addHandler(handler)
    LOGGER.setLevel("INFO")
    yield written
    LOGGER.removeHandler(handler)


def problem(response: httpx2.Response, status: int) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert body["status"] == status
    assert body["request_id"] == response.headers["x-request-id"]
    return body


@asynccontextmanager
async def serving(app: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    """A client in the event loop of the application."""
    transport = httpx2.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, base_url="http://test") as client,
    ):
        yield client


def test_results_equal_those_of_the_grader(client: TestClient, grader: Grader, eyes: list[Path]) -> None:
    response = client.post("/v1/grade", files=files(*((path.name, path.read_bytes()) for path in eyes)))
    assert response.status_code == 200
    body = GradeResponse.model_validate(response.json())
    assert "not a medical device" in body.notice
    for each, expected in zip(body.photographs, grader.grade(eyes), strict=True):
        assert each.grading.path == f"{each.grading.image_id}.jpg"
        np.testing.assert_allclose(each.grading.probabilities or (), expected.probabilities or (), atol=1e-4)
        same = (
            "predicted_grade",
            "label",
            "referable",
            "vision_threatening",
            "prediction_set",
            "needs_review",
            "quality",
            "model",
        )
        assert [getattr(each.grading, name) for name in same] == [getattr(expected, name) for name in same]
        assert each.pictures is None
    assert body.studies == grade_studies([each.grading for each in body.photographs])
    assert [(study.study, len(study.photographs)) for study in body.studies] == [
        (f"0000{place}", 2) for place in range(3)
    ]


def test_pictures_are_sent_on_request(client: TestClient, eyes: list[Path]) -> None:
    dark = encoded(np.zeros((200, 200, 3), np.uint8) + gradient(200, 200) // 16, "PNG")
    response = client.post(
        "/v1/grade?pictures=true", files=files(("eye.jpg", eyes[0].read_bytes()), ("dark.png", dark))
    )
    good, poor = response.json()["photographs"]
    assert good["pictures"]["photograph"].startswith("data:image/jpeg;base64,/9j/")
    assert good["pictures"]["saliency"] not in (None, good["pictures"]["photograph"])
    assert poor["grading"]["gradable"] is False
    assert poor["pictures"]["saliency"] is None
    assert problem(client.post("/v1/grade?pictures=maybe", files=files(("a", b""))), 422)["errors"][0]["field"]


def test_outlines_are_sent_instead_of_a_saliency_overlay(tmp_path: Path) -> None:
    lesion_grader = Grader.load(write_lesion_grader(tmp_path / "lesions.onnx", 128))
    picture, marks = draw_photograph(180, 143)
    with TestClient(create_app(lesion_grader, ServiceSettings()), base_url="http://localhost") as sent_to:
        sent = files(("eye.png", encoded(picture, "PNG")))
        (plain,) = sent_to.post("/v1/grade", files=sent).json()["photographs"]
        (result,) = sent_to.post("/v1/grade?pictures=true", files=sent).json()["photographs"]
    assert plain["pictures"] is None
    pictures = result["pictures"]
    assert pictures["saliency"] is None
    assert (pictures["width"], pictures["height"]) == (180, 143)
    square = pictures["square"]
    assert square["left"] + square["width"] / 2 == pytest.approx(0.53 * 180, abs=2)  # the middle of the field of view
    by_kind = {each["kind"]: each for each in pictures["lesions"]}
    assert len(by_kind["haemorrhages"]["outlines"]) == result["grading"]["haemorrhages"] == 1
    assert by_kind["haemorrhages"]["colour"] == "#4080ff"
    (outline,) = by_kind["haemorrhages"]["outlines"]
    assert outline["probability"] > 0.5
    middle = np.mean(outline["polygon"], axis=0)
    assert middle == pytest.approx(np.argwhere(marks["haemorrhages"]).mean(axis=0)[::-1], abs=1.5)


def test_no_lesion_maps_wait_for_their_responses(tmp_path: Path) -> None:
    lesion_grader = Grader.load(write_lesion_grader(tmp_path / "lesions.onnx", 128))
    prepared = lesion_grader.prepare(draw_photograph(180, 143)[0], "eye")
    for wants_pictures in (True, False):
        waiting = pipeline.WaitingPhotograph(prepared, wants_pictures)
        (drawing,) = pipeline._grade_each(lesion_grader, [waiting])
        assert isinstance(drawing, Drawing)
        assert (drawing.photograph is not None) is wants_pictures
        assert not hasattr(drawing, "lesions")


def test_a_bad_photograph_affects_no_other(client: TestClient, eyes: list[Path]) -> None:
    sent = files(("bad.jpg", b"\xff\xd8nothing"), ("eye.jpg", eyes[0].read_bytes()))
    bad, good = client.post("/v1/grade", files=sent).json()["photographs"]
    assert bad["grading"]["image_id"] == "bad"
    assert "bad.jpg: corrupt JPEG" in bad["grading"]["error"]
    assert bad["grading"]["needs_review"] is True
    assert good["grading"]["error"] is None
    body = problem(client.post("/v1/grade", files=files(("bad.jpg", b"\xff\xd8"), ("empty.png", b""))), 422)
    assert [each["field"] for each in body["errors"]] == ["photographs[0]", "photographs[1]"]
    assert "empty.png: the file is empty" in body["errors"][1]["detail"]


def test_dicom_provides_the_laterality(client: TestClient, tmp_path: Path) -> None:
    pixels = gradient(300, 300)
    path = write_dicom(
        tmp_path / "a.dcm", pixels.tobytes(), pixels.shape[:2], "RGB", uid.ExplicitVRLittleEndian, ImageLaterality="L"
    )
    response = client.post("/v1/grade", files=files(("a.dcm", path.read_bytes())))
    assert response.json()["photographs"][0]["grading"]["laterality"] == "L"


@pytest.mark.parametrize(
    ("form", "status", "field", "detail"),
    [
        ({"files": [("other", ("a", b"x"))]}, 422, "other", "unknown field"),
        ({"data": {"photographs": "text"}, "files": files(("a", b"x"))}, 422, "photographs[0]", "is not a file"),
        ({"files": files(*[("a", b"x")] * (PHOTOGRAPHS + 1))}, 422, "photographs", "more than 64"),
        ({"files": files(*[("a", b"x")] * (PHOTOGRAPHS + 2))}, 400, None, "Too many files"),
        ({"data": {"photographs": "text"}}, 415, None, "multipart/form-data"),
        ({"content": b"x", "headers": {"content-type": "multipart/form-data"}}, 400, None, "boundary"),
        (
            {"content": b"--x\r\n\r\n", "headers": {"content-type": "multipart/form-data; boundary=x"}},
            400,
            None,
            "name",
        ),
        (
            {"content": b"--x--\r\n", "headers": {"content-type": "multipart/form-data; boundary=x"}},
            422,
            "photographs",
            "missing",
        ),
    ],
)
def test_an_invalid_form_is_described(
    client: TestClient, form: dict[str, Any], status: int, field: str | None, detail: str
) -> None:
    body = problem(client.post("/v1/grade", **form), status)
    assert [each["field"] for each in body["errors"]] == ([] if field is None else [field])
    assert detail in json.dumps(body)


def test_sizes_are_limited(grader: Grader, eyes: list[Path]) -> None:
    settings = ServiceSettings(max_megabytes=0.1, max_megapixels=0.3)
    with TestClient(create_app(grader, settings)) as client:
        declared = client.post("/v1/grade", files=files(("big.jpg", bytes(120_000))))
        assert "larger than 0.1 MB" in problem(declared, 413)["detail"]

        def chunks() -> Iterator[bytes]:
            yield b'--x\r\nContent-Disposition: form-data; name="photographs"; filename="a"\r\n\r\n'
            for _ in range(12):
                yield bytes(10_000)

        kind = {"content-type": "multipart/form-data; boundary=x"}
        problem(client.post("/v1/grade", content=chunks(), headers=kind), 413)
        bomb = ("bomb.png", giant("PNG", 60000, 50000))
        body = problem(client.post("/v1/grade", files=files(bomb)), 413)
        assert body["errors"][0]["field"] == "photographs[0]"
        assert "0.3 megapixels" in body["errors"][0]["detail"]
        both = client.post("/v1/grade", files=files(bomb, ("eye.jpg", eyes[0].read_bytes())))
        assert [each["grading"]["error"] is None for each in both.json()["photographs"]] == [False, True]


def test_an_endless_upload_is_ended(grader: Grader) -> None:
    app = create_app(grader, ServiceSettings(idle_seconds=0.05))

    async def run() -> list[httpx2.Response]:
        async def never() -> Any:
            yield b"--x\r\n"
            await asyncio.Event().wait()

        kind = {"content-type": "multipart/form-data; boundary=x"}
        async with serving(app) as client:
            return [await client.post("/v1/grade", content=never(), headers=kind), await client.get("/metrics")]

    slow, metrics = asyncio.run(run())
    problem(slow, 408)
    assert "retinagrade_requests_in_progress 0.0" in metrics.text


def test_at_the_request_limit_the_response_names_a_retry_time(grader: Grader, eyes: list[Path]) -> None:
    app = create_app(grader, ServiceSettings(max_requests=2))

    async def run() -> list[httpx2.Response]:
        gate = asyncio.Event()

        async def slowly() -> Any:
            yield b'--x\r\nContent-Disposition: form-data; name="photographs"; filename="a.jpg"\r\n\r\n'
            await gate.wait()
            yield eyes[0].read_bytes() + b"\r\n--x--\r\n"

        kind = {"content-type": "multipart/form-data; boundary=x"}
        async with serving(app) as client:
            posts = [asyncio.create_task(client.post("/v1/grade", content=slowly(), headers=kind)) for _ in range(2)]
            while (await client.get("/readyz")).status_code == 200:
                await asyncio.sleep(0)
            refused = await client.post("/v1/grade", files=files(("a.jpg", eyes[0].read_bytes())))
            alive = await client.get("/healthz")
            gate.set()
            finished = await asyncio.gather(*posts)
            ready = await client.get("/readyz")
            return [refused, alive, ready, *finished]

    refused, *accepted = asyncio.run(run())
    problem(refused, 503)
    assert int(refused.headers["retry-after"]) > 0
    assert [response.status_code for response in accepted] == [200] * 4


def test_concurrent_requests_get_their_own_results(grader: Grader, eyes: list[Path]) -> None:
    app = create_app(grader, ServiceSettings())
    expected = {path.name: grading.probabilities for path, grading in zip(eyes, grader.grade(eyes), strict=True)}

    async def run() -> list[httpx2.Response]:
        async with serving(app) as client:
            sent = [files((path.name, path.read_bytes())) for path in eyes * 10]
            return await asyncio.gather(*(client.post("/v1/grade", files=form) for form in sent))

    for response, path in zip(asyncio.run(run()), eyes * 10, strict=True):
        grading = response.json()["photographs"][0]["grading"]
        assert grading["path"] == path.name
        np.testing.assert_allclose(grading["probabilities"], expected[path.name] or (), atol=1e-4)
    with TestClient(app) as client:
        text = client.get("/metrics").text
    batches = float(text.split("retinagrade_batch_photographs_count ")[1].split("\n")[0])
    assert batches <= 60  # photographs may share a batch


def test_the_metrics_count_grades_refusals_referrals_and_reviews(grader: Grader, eyes: list[Path]) -> None:
    rows, columns = np.mgrid[:300, :300] - 150
    dark = np.where((rows**2 + columns**2 < 140**2)[..., None], np.array([30, 20, 10]), 0).astype(np.uint8)
    sent = [*((path.name, path.read_bytes()) for path in eyes), ("dark.png", encoded(dark, "png")), ("a", b"x")]
    with TestClient(create_app(grader, ServiceSettings())) as client:
        before = counts(client)
        assert set(before.values()) == {0}
        body = GradeResponse.model_validate(client.post("/v1/grade", files=files(*sent)).json())
        after = counts(client)
    assert set(after) == set(before)  # no label comes from a photograph
    gradings = [each.grading for each in body.photographs]
    expected = Counter[tuple[str, str]]()
    for each in gradings:
        if each.predicted_grade is not None:
            expected["grades", str(each.predicted_grade)] += 1
            expected["referrals", "retinopathy"] += bool(each.referable)
            expected["reviews", "uncertain grade"] += bool(each.needs_review)
        elif each.error is None:
            expected["refusals", each.quality_reasons[0].partition(":")[0]] += 1
    assert {key: count for key, count in after.items() if count} == +expected
    assert {kind for kind, _ in +expected} >= {"grades", "refusals", "referrals"}


def counts(client: TestClient) -> dict[tuple[str, str], float]:
    """Returns the counters about gradings by their names and labels."""
    pattern = r'^retinagrade_(grades|refusals|referrals|reviews)_total{\w+="(.*)"} (.*)$'
    found = re.findall(pattern, client.get("/metrics").text, re.MULTILINE)
    return {(name, label): float(count) for name, label, count in found}


def test_the_service_describes_itself(client: TestClient) -> None:
    assert Metadata.model_validate(client.get("/v1/model").json()) == metadata()
    assert client.get("/healthz").json() == {"status": "alive"}
    assert client.get("/readyz").json() == {"status": "ready"}
    client.post("/v1/grade", files=files(("a", b"x")))
    text = client.get("/metrics").text
    assert 'retinagrade_requests_total{method="POST",route="/v1/grade",status="422"}' in text
    assert 'retinagrade_model{model="by-colour 0123456789ab"} 1.0' in text
    assert "retinagrade_requests_in_progress 0.0" in text
    document = client.get("/openapi.json").json()
    responses = document["paths"]["/v1/grade"]["post"]["responses"]
    GradeResponse.model_validate(responses["200"]["content"]["application/json"]["example"])
    Metadata.model_validate(
        document["paths"]["/v1/model"]["get"]["responses"]["200"]["content"]["application/json"]["example"]
    )
    assert set(responses) == {"200", "400", "408", "413", "415", "422", "503"}


def test_unknown_paths_and_methods_are_problems(client: TestClient) -> None:
    assert problem(client.get("/v2/grade"), 404)["title"] == "Not Found"
    refused = client.get("/v1/grade")
    problem(refused, 405)
    assert refused.headers["allow"] == "POST"


def test_a_request_without_the_token_is_refused(grader: Grader, eyes: list[Path]) -> None:
    with TestClient(create_app(grader, ServiceSettings(token="secret"))) as client:
        for method, path in (("POST", "/v1/grade"), ("GET", "/v1/model"), ("GET", "/metrics")):
            for headers in ({}, {"Authorization": "Bearer other"}, {"Authorization": "Basic c2VjcmV0"}):
                refused = client.request(method, path, headers=headers)
                problem(refused, 401)
                assert refused.headers["www-authenticate"] == "Bearer"
        client.headers["Authorization"] = "Bearer secret"
        assert client.get("/v1/model").status_code == 200
        assert client.post("/v1/grade", files=files(("a.jpg", eyes[0].read_bytes()))).status_code == 200
        del client.headers["Authorization"]
        for name, status in {"secret": 200, "other": 401}.items():
            answer = client.get("/v1/model", headers={"X-API-Key": name, "Authorization": "Basic c2VjcmV0"})
            assert answer.status_code == status
        assert [client.get(path).status_code for path in ("/", "/healthz", "/readyz", "/openapi.json")] == [200] * 4


@pytest.mark.parametrize("token", ["secret", "Schlüssel", "密钥 with spaces", "x" * 4000])
def test_a_token_is_compared_as_utf8(grader: Grader, token: str) -> None:
    with TestClient(create_app(grader, ServiceSettings(token=token))) as client:

        def get(sent: bytes) -> int:
            return client.get("/v1/model", headers={b"Authorization": b"Bearer " + sent}).status_code

        assert get(token.encode()) == 200
        assert get(token.encode()[:-1]) == 401
        assert get(token.encode() + b"x") == 401
        if not token.isascii():
            assert get(token.encode("utf-16")) == 401


@pytest.mark.parametrize(
    "path", ["/", "/healthz", "/readyz", "/v1/model", "/metrics", "/openapi.json", "/page/page.js", "/nothing"]
)
def test_head_is_answered_like_get_without_a_body(client: TestClient, path: str) -> None:
    head, get = client.head(path), client.get(path)
    assert head.status_code == get.status_code
    assert head.headers["content-type"] == get.headers["content-type"]
    assert head.content == b""
    refused = client.head("/v1/grade")
    assert (refused.status_code, refused.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize(
    ("filename", "name"),
    [
        ("filename*=UTF-8''%E4%B8%83_left.jpg", "七_left.jpg"),
        ("filename*=utf-8'en'7_left.jpg", "7_left.jpg"),
        ("filename*=ISO-8859-1''M%FCller_left.jpg", "Müller_left.jpg"),
        ('filename*0="7_"; filename*1="left.jpg"', "7_left.jpg"),
        ("filename*=UTF-8''a%22%5C_left.jpg", 'a"\\_left.jpg'),
        ("filename=\"7_left.jpg\"; filename*=UTF-8''8_left.jpg", "7_left.jpg"),
        ('filename="Müller_left.jpg"', "Müller_left.jpg"),
        ("filename*=nonsense''7_left.jpg", "7_left.jpg"),
    ],
)
def test_extended_names_are_read(client: TestClient, eyes: list[Path], filename: str, name: str) -> None:
    head = f'--x\r\nContent-Disposition: form-data; name="photographs"; {filename}\r\n\r\n'
    form = head.encode() + eyes[0].read_bytes() + b"\r\n--x--\r\n"
    response = client.post("/v1/grade", content=form, headers={"content-type": "multipart/form-data; boundary=x"})
    assert response.status_code == 200, response.text
    grading = response.json()["photographs"][0]["grading"]
    assert (grading["path"], grading["laterality"]) == (name, "L")


@pytest.mark.parametrize("header", [b"X" * 9000 + b": y\r\n", b"X: " + b"y" * 9000 + b"\r\n", b"X: y\r\n" * 99])
def test_headers_of_parts_are_limited(client: TestClient, header: bytes) -> None:
    form = b'--x\r\nContent-Disposition: form-data; name="photographs"; filename="a"\r\n' + header + b"\r\nx\r\n--x--"
    kind = {"content-type": "multipart/form-data; boundary=x"}
    problem(client.post("/v1/grade", content=form, headers=kind), 400)


def test_a_failure_of_the_network_costs_only_its_photograph(
    grader: Grader, eyes: list[Path], lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = grader.network

    def network(squares: NDArray[np.uint8]) -> Any:
        if (squares[:, 0, 0, 0] == 77).any():
            raise RuntimeError("Doe_Jane.jpg")
        return whole(squares)

    monkeypatch.setattr(grader, "network", network)
    monkeypatch.setattr(pipeline, "start_decoder", decoder_of(mark_bad))
    with TestClient(create_app(grader, ServiceSettings())) as client:
        sent = files(("Doe_Jane.jpg", b"bad"), *((path.name, path.read_bytes()) for path in eyes[:2]))
        bad, *good = client.post("/v1/grade", files=sent).json()["photographs"]
    assert "failed" in bad["grading"]["error"]
    assert [each["grading"]["error"] for each in good] == [None, None]
    assert sum("failed" in line for line in lines) == 1
    assert "Doe" not in "".join(lines)


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0, -0.2])
def test_outputs_that_are_no_probabilities_are_no_result(
    grader: Grader, eyes: list[Path], monkeypatch: pytest.MonkeyPatch, value: float
) -> None:
    def network(squares: NDArray[np.uint8]) -> Any:
        probabilities = np.full((len(squares), 5), value, np.float32)
        return {"probabilities": probabilities, "saliency": np.zeros((len(squares), 5, 4, 4), np.float32)}

    monkeypatch.setattr(grader, "network", network)
    with TestClient(create_app(grader, ServiceSettings())) as client:
        sent = files((eyes[0].name, eyes[0].read_bytes()))
        response = client.post("/v1/grade", files=sent, params={"pictures": True})
    (photograph,) = response.json()["photographs"]
    assert "a person should look" in photograph["grading"]["error"]
    assert photograph["grading"]["predicted_grade"] is None
    assert photograph["grading"]["referable"] is None
    assert photograph["grading"]["needs_review"] is True


def test_decoding_that_takes_too_much_costs_only_its_photograph(
    grader: Grader, eyes: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "start_decoder", decoder_of(misbehave))
    good = "eye.jpg", eyes[0].read_bytes()
    with TestClient(create_app(grader, ServiceSettings(photograph_seconds=5.0))) as client:
        sent = files(*(("bad.jpg", body) for body in (b"slow", b"greedy", b"deadly", b"odd")), good)
        *bad, last = client.post("/v1/grade", files=sent).json()["photographs"]
        for each in bad:
            assert each["grading"]["error"].startswith("bad.jpg: ")
            assert each["grading"]["needs_review"] is True
        assert last["grading"]["error"] is None
        assert client.post("/v1/grade", files=files(good)).status_code == 200


def test_health_is_answered_while_a_photograph_is_decoded(grader: Grader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "start_decoder", decoder_of(misbehave))
    app = create_app(grader, ServiceSettings(photograph_seconds=2.0))

    async def run() -> list[int]:
        async with serving(app) as client:
            slow = asyncio.create_task(client.post("/v1/grade", files=files(*[("a.jpg", b"slow")] * 8)))
            statuses = [(await client.get("/healthz")).status_code for _ in range(50)]
            assert not slow.done()
            slow.cancel()
            return statuses

    assert asyncio.run(run()) == [200] * 50


@pytest.mark.parametrize("path", ["/", "/page/page.js", "/v1/model", "/nothing", "/openapi.json"])
def test_security_headers_are_set(client: TestClient, path: str) -> None:
    headers = client.get(path, headers={"Origin": "https://elsewhere.example"}).headers
    assert not [name for name in headers if name.startswith("access-control")]
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    preflight = client.options(
        "/v1/grade", headers={"Origin": "https://elsewhere.example", "Access-Control-Request-Method": "POST"}
    )
    assert preflight.status_code == 405


def test_request_ids_are_kept_if_they_are_uuids(client: TestClient) -> None:
    request_id = str(uuid4())
    assert client.get("/healthz", headers={"X-Request-ID": request_id}).headers["x-request-id"] == request_id
    replaced = client.get("/healthz", headers={"X-Request-ID": "Jane Doe 1950"}).headers["x-request-id"]
    assert UUID(replaced)


def test_the_log_has_no_names_ids_or_pixels(client: TestClient, lines: list[str], tmp_path: Path) -> None:
    pixels = gradient(300, 300)
    path = write_dicom(
        tmp_path / "a.dcm", pixels.tobytes(), pixels.shape[:2], PatientID="P-4711", PatientName="Doe^Jane"
    )
    for name, data in (("Doe_Jane_P-4711.dcm", path.read_bytes()), ("Doe_Jane_P-4711.jpg", b"no photograph")):
        client.post("/v1/grade?who=Doe", files=files((name, data)), headers={"X-Request-ID": "P-4711"})
    client.get("/Doe/Jane?P-4711")
    records = [json.loads(line) for line in lines]
    assert [(each["event"], each["route"], each["status"]) for each in records] == [
        ("request", "/v1/grade", 200),
        ("request", "/v1/grade", 422),
        ("request", "other", 404),
    ]
    assert not [word for word in ("Doe", "Jane", "P-4711") if word in "".join(lines)]


def test_an_internal_error_is_reported_without_its_message(
    grader: Grader, eyes: list[Path], lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("Doe_Jane.jpg")

    with TestClient(create_app(grader, ServiceSettings()), raise_server_exceptions=False) as client:
        with monkeypatch.context() as patched:
            patched.setattr(grader, "grade_prepared", broken)
            body = problem(client.post("/v1/grade", files=files(("Doe_Jane.jpg", eyes[0].read_bytes()))), 500)
        assert client.post("/v1/grade", files=files(("a.jpg", eyes[0].read_bytes()))).status_code == 200
    failed = next(json.loads(line) for line in lines if "failed" in line)
    assert failed["request_id"] == body["request_id"]
    assert failed["exception"] == "RuntimeError"
    assert any("test_app.py" in frame for frame in failed["traceback"])
    assert "Doe" not in "".join(lines) + json.dumps(body)


@pytest.fixture(scope="module")
def responded(client: TestClient, eyes: list[Path]) -> dict[str, Any]:
    sent = files(*((each.name, each.read_bytes()) for each in eyes[:2]))
    body: dict[str, Any] = client.post("/v1/grade", files=sent).json()
    return body


def with_list(row: dict[str, Any]) -> dict[str, Any]:
    """Returns a row of a flat table with one list of probabilities, and without its check."""
    others = {name: value for name, value in row.items() if name not in (*PROBABILITY_COLUMNS, CHECK)}
    return others | {"probabilities": [float(row[name]) for name in PROBABILITY_COLUMNS]}


def test_the_forms_of_a_result_agree(
    responded: dict[str, Any], grader_file: Path, eyes: list[Path], tmp_path: Path
) -> None:
    tables = {suffix: tmp_path / f"r{suffix}" for suffix in (".csv", ".xlsx", ".jsonl")}
    for suffix, table in tables.items():
        results = grade(eyes[:2], model=grader_file, out=table, studies=tmp_path / f"s{suffix}")
    entry = responded["photographs"][0]["grading"]
    expected = results.to_json()[0]
    sheet = openpyxl.load_workbook(tables[".xlsx"]).active
    assert sheet is not None
    header, first, *_ = sheet.iter_rows(values_only=True)
    forms = {
        "json": json.loads(json.dumps(expected)),
        "jsonl": json.loads(tables[".jsonl"].read_text().splitlines()[0]),
        "csv": with_list(next(csv.DictReader(tables[".csv"].read_text().splitlines()))),
        "xlsx": with_list(dict(zip(map(str, header), first, strict=True))),
        "http": entry,
    }
    forms["jsonl"].pop(CHECK)
    for form in forms.values():
        assert form.keys() == NAMES
        assert all(form[name] not in (None, "") for name in ORIGIN - {"oedema_threshold"})
        for name in ("image_id", "predicted_grade", "referable", "model", "grader_digest", "referral"):
            assert str(form[name]).lower() == str(expected[name]).lower()
        assert form["probabilities"] == pytest.approx(expected["probabilities"], abs=1e-4)
        assert float(form["referable_threshold"]) == expected["referable_threshold"]


def test_the_forms_of_a_study_agree(responded: dict[str, Any], grader: Grader, eyes: list[Path]) -> None:
    (study,) = responded["studies"]
    assert study.keys() == STUDY_NAMES
    assert STUDY_NAMES > ORIGIN
    assert study["predicted_grade"] == max(each.predicted_grade or 0 for each in grader.grade(eyes[:2]))


def test_the_document_of_the_interface_has_these_names(grader: Grader) -> None:
    schemas = create_app(grader, ServiceSettings()).openapi()["components"]["schemas"]
    assert schemas["Grading"]["properties"].keys() == NAMES
    assert schemas["StudyGrading"]["properties"].keys() == STUDY_NAMES


def test_results_come_as_fhir_on_request(client: TestClient, eyes: list[Path]) -> None:
    sent = files(*((each.name, each.read_bytes()) for each in eyes[:2]), ("b.jpg", b"bad"))
    response = client.post("/v1/grade", files=sent, headers={"Accept": "application/fhir+json"})
    assert response.headers["content-type"] == "application/fhir+json"
    bundle = response.json()
    Bundle.model_validate(bundle)
    kinds = Counter(entry["resource"]["resourceType"] for entry in bundle["entry"])
    assert kinds == {"Device": 1, "DiagnosticReport": 1, "Observation": 4}
    resources = [entry["resource"] for entry in bundle["entry"]]
    (report,) = (each for each in resources if each["resourceType"] == "DiagnosticReport")
    assert report["subject"]["identifier"] == {"value": "00000"}
