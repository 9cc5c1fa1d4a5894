# One image for every role: `docker run veilstream worker protect`, `… topics create`, `… redact`.
# A build for CPUs only, 5 GB smaller, where PyTorch's own index can be reached:
#   docker build --build-arg PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu .

FROM python:3.11.14-slim-bookworm AS build
ARG PIP_EXTRA_INDEX_URL
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY config/veilstream config/veilstream
COPY streams/veilstream streams/veilstream
COPY trainers/veilstream trainers/veilstream
COPY agents/veilstream agents/veilstream
RUN python -m venv /opt/veilstream \
    && /opt/veilstream/bin/pip install --no-cache-dir --constraint constraints.txt '.[all]'

FROM python:3.11.14-slim-bookworm
# The folders are made here, so that named volumes mounted on them belong to the user.
RUN groupadd --gid 10001 veilstream \
    && useradd --uid 10001 --gid 10001 --home-dir /var/lib/veilstream --no-create-home \
       --shell /usr/sbin/nologin veilstream \
    && install -d -m 0750 -o veilstream -g veilstream /var/lib/veilstream /var/lib/veilstream/releases \
    && install -d -m 0700 -o veilstream -g veilstream /var/lib/veilstream/keys
COPY --from=build /opt/veilstream /opt/veilstream
ENV PATH=/opt/veilstream/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    VEILSTREAM_DATA_DIR=/var/lib/veilstream \
    VEILSTREAM_TELEMETRY__HOST=0.0.0.0 \
    VEILSTREAM_TELEMETRY__PORT=9100
USER veilstream
WORKDIR /var/lib/veilstream
# A role whose loop hangs answers 503, which urlopen raises.
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=4 \
    CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen('http://127.0.0.1:' + os.environ['VEILSTREAM_TELEMETRY__PORT'] + '/livez', timeout=4)"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["veilstream"]
CMD ["--help"]
