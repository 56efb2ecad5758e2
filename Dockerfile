# Nexus, and nexus-agents beside it: no root, no compiler, no pip of its own, and a file system that may be read-only.
#   docker build -t nexus .
#   docker run -p 127.0.0.1:8000:8000 -e OPENAI_API_KEY nexus
# A build for keeps pins the base image by digest: --build-arg PYTHON_IMAGE=python@sha256:...
ARG PYTHON_IMAGE=python:3.12-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
WORKDIR /src
COPY deploy/docker/build.txt requirements/run.txt ./
RUN python3 -m venv /opt/build \
    && /opt/build/bin/pip install --no-cache-dir --require-hashes --only-binary :all: --requirement build.txt \
    && python3 -m venv --without-pip /opt/nexus \
    && /opt/build/bin/pip --python /opt/nexus/bin/python install \
        --no-cache-dir --require-hashes --only-binary :all: --requirement run.txt
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN /opt/build/bin/pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir wheel . \
    && /opt/build/bin/pip --python /opt/nexus/bin/python install --no-cache-dir --no-deps --no-index wheel/*.whl \
    && /opt/nexus/bin/nexus --version \
    && /opt/nexus/bin/nexus-agents --version

FROM ${PYTHON_IMAGE}
RUN groupadd --gid 1000 nexus \
    && useradd --uid 1000 --gid nexus --no-create-home --home-dir /var/lib/nexus --shell /usr/sbin/nologin nexus \
    && install -d -o nexus -g nexus -m 0700 /var/lib/nexus
COPY --from=build /opt/nexus /opt/nexus
COPY deploy/docker/healthcheck.py /opt/nexus/healthcheck.py
COPY deploy/docker/nexus.toml /etc/nexus.toml
ENV PATH=/opt/nexus/bin:$PATH \
    NEXUS_CONFIG_PATH=/etc/nexus.toml \
    NEXUS_LISTEN_ADDRESS=0.0.0.0:8000 \
    NEXUS_DATA_DIR=/var/lib/nexus
USER 1000:1000
WORKDIR /var/lib/nexus
EXPOSE 8000
# TERM drains: docker stop -t has to allow for server.shutdown_delay and server.shutdown_timeout
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=15s --retries=3 CMD ["python", "-I", "/opt/nexus/healthcheck.py"]
ENTRYPOINT ["nexus"]
