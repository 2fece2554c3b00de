# The grading service. It needs no writable file system:
#   docker build --tag retinagrade .
#   docker run --read-only --tmpfs /tmp --publish 127.0.0.1:8000:8000 --env RETINAGRADE_TOKEN=… retinagrade
# All packages are those of deploy/requirements.txt, with their hashes. `make image-base` names the base image by its digest:
#   docker build --build-arg BASE=python:3.13-slim-bookworm@sha256:… --tag retinagrade .
ARG BASE=python:3.13-slim-bookworm
FROM ${BASE} AS build
WORKDIR /build
COPY deploy/requirements.txt deploy/requirements-build.txt ./
RUN python -m venv /opt/build \
    && /opt/build/bin/pip install --no-cache-dir --require-hashes --requirement requirements-build.txt \
    && python -m venv --without-pip /opt/retinagrade \
    && /opt/build/bin/pip --python /opt/retinagrade/bin/python install --no-cache-dir --require-hashes --requirement requirements.txt
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir wheels . \
    && /opt/build/bin/pip --python /opt/retinagrade/bin/python install --no-cache-dir --no-deps --no-index wheels/*.whl

FROM ${BASE}
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin retinagrade
COPY --from=build /opt/retinagrade /opt/retinagrade
ENV PATH="/opt/retinagrade/bin:$PATH"
USER 10001
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
ENTRYPOINT ["retinagrade"]
CMD ["serve", "--host", "0.0.0.0"]
