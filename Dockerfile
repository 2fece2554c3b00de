# The grading service. It needs no writable file system:
#   docker build --tag retinagrade .
#   docker run --read-only --tmpfs /tmp --publish 127.0.0.1:8000:8000 --env RETINAGRADE_TOKEN=… retinagrade
FROM python:3.13-slim-bookworm AS build
WORKDIR /build
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN python -m venv /opt/retinagrade \
    && /opt/retinagrade/bin/pip install --no-cache-dir '.[serve,dicom]'

FROM python:3.13-slim-bookworm
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin retinagrade
COPY --from=build /opt/retinagrade /opt/retinagrade
ENV PATH="/opt/retinagrade/bin:$PATH"
USER 10001
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
ENTRYPOINT ["retinagrade"]
CMD ["serve", "--host", "0.0.0.0"]
