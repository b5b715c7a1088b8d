# syntax=docker/dockerfile:1
# blipdiff in a container: `docker build --target cpu -t blipdiff .`, or --target cuda for NVIDIA cards.
# For several servers: --build-arg EXTRAS=heif,video,shared, with ray added where Ray draws (deploy/several, kubernetes).
# Pictures, history, subjects and fetched models lie in the volume /data.

FROM python:3.11-slim AS wheel
WORKDIR /source
COPY pyproject.toml README.md LICENSE NOTICE ./
COPY blipdiff blipdiff
COPY pipelines pipelines
COPY app app
RUN python -m pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:3.11-slim AS base
ENV PYTHONUNBUFFERED=1 \
    BLIPDIFF_OUTPUT=/data/outputs \
    BLIPDIFF_HISTORY=/data/history \
    BLIPDIFF_FILES=/data/files \
    BLIPDIFF_LIBRARY=/data/subjects \
    HF_HOME=/data/models
RUN useradd --uid 1000 --home-dir /data --create-home --shell /usr/sbin/nologin blipdiff
WORKDIR /data
VOLUME /data
EXPOSE 7860
HEALTHCHECK --start-period=60s --interval=30s --timeout=5s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:7860/healthz', timeout=4)"]
ENTRYPOINT ["blipdiff"]
# Every address but 127.0.0.1 asks for BLIPDIFF_TOKEN or BLIPDIFF_AUTH; without either the page refuses to start.
CMD ["ui", "--host", "0.0.0.0", "--port", "7860"]

FROM base AS cuda
ARG EXTRAS=heif,video
COPY constraints.txt /constraints.txt
RUN --mount=type=bind,from=wheel,source=/wheels,target=/wheels \
    python -m pip install --no-cache-dir --constraint /constraints.txt "$(ls /wheels/*.whl)[$EXTRAS]"
USER 1000

FROM base AS cpu
ARG EXTRAS=heif,video
COPY constraints.txt /constraints.txt
RUN python -m pip install --no-cache-dir --constraint /constraints.txt \
    --index-url https://download.pytorch.org/whl/cpu torch
RUN --mount=type=bind,from=wheel,source=/wheels,target=/wheels \
    python -m pip install --no-cache-dir --constraint /constraints.txt "$(ls /wheels/*.whl)[$EXTRAS]"
USER 1000
