# One file for every image: docker build --build-arg STAGE=decryptor -t grin-pipeline/decryptor .
# What seldom changes comes first, so that a change of the code rebuilds in seconds.

ARG BASE=python:3.13-slim-trixie

FROM ${BASE} AS dependencies
ARG STAGE
WORKDIR /build
COPY common/requirements.txt common.txt
COPY constraints.txt services/${STAGE}/requirements.tx[t] ./
RUN python3 -m venv --without-pip /opt/venv \
    && touch requirements.txt \
    && pip --python /opt/venv/bin/python install --no-cache-dir --no-compile --disable-pip-version-check \
        --constraint constraints.txt --requirement common.txt --requirement requirements.txt \
    && /opt/venv/bin/python -m compileall -q /opt/venv/lib

FROM ${BASE} AS code
ARG STAGE
WORKDIR /app
COPY common common
COPY services/__init__.py services/__main__.py services/
COPY services/${STAGE} services/${STAGE}
# The root file system is read-only later, and nothing could be compiled then.
RUN python3 -m compileall -q /app

FROM ${BASE}
ARG STAGE
COPY services/${STAGE}/apt.tx[t] constraints.txt /tmp/
RUN if [ -f /tmp/apt.txt ]; then \
        apt-get update && xargs -r apt-get install -y --no-install-recommends </tmp/apt.txt && rm -rf /var/lib/apt/lists/*; \
    fi \
    && rm -f /tmp/apt.txt /tmp/constraints.txt \
    && install -d -o 10001 -g 10001 /data /demo \
    && install -d /etc/grin-pipeline/secrets \
    # Nobody in here becomes somebody else.
    && find / -xdev -type f -perm /6000 -exec chmod a-s {} +
COPY --from=dependencies /opt/venv /opt/venv
COPY --from=code /app /app
ENV STAGE=${STAGE} \
    PATH=/app/services/${STAGE}/bin:/opt/venv/bin:${PATH} \
    PYTHONPATH=/app \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="GRIN Pipeline: ${STAGE}" \
      org.opencontainers.image.description="Brings a library's digitised books home from Google: a Kanban board made of directories" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
WORKDIR /data
USER 10001:10001
EXPOSE 8000 8080
HEALTHCHECK --interval=5s --timeout=3s --start-period=30s --retries=4 CMD ["python", "-I", "-S", "/app/common/healthcheck.py"]
# The first process of a container is deaf to a signal without a handler; blocked, it waits until Python has one.
ENTRYPOINT ["env", "--block-signal=TERM", "python", "-P", "-m", "services"]
