# The service alone: no simulator, no tests, no compiler, no pip in its environment.
#   docker build -t syncd . && docker run --rm syncd --help
# Settings come in as SYNCD_… variables or as a file at /etc/syncd/syncd.toml.
ARG PYTHON=3.13

FROM python:${PYTHON}-slim AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
COPY requirements.lock requirements-build.lock ./
RUN python -m venv --without-pip /opt/syncd \
 && pip --python /opt/syncd/bin/python install -q --require-hashes -r requirements.lock \
 && pip install -q --require-hashes -r requirements-build.lock
COPY pyproject.toml README.md LICENSE ./
COPY config config
COPY migrations migrations
COPY syncd syncd
RUN pip wheel -q --no-deps --no-build-isolation -w /wheels . \
 && pip --python /opt/syncd/bin/python install -q --no-deps --no-index /wheels/*.whl \
 && /opt/syncd/bin/python -m compileall -q /opt/syncd/lib

FROM python:${PYTHON}-slim
LABEL org.opencontainers.image.title="syncd" \
      org.opencontainers.image.description="Keeps Adobe Marketo Engage and PostgreSQL in step, both ways." \
      org.opencontainers.image.licenses="Apache-2.0"
RUN groupadd --gid 10001 syncd && useradd --uid 10001 --gid syncd --no-create-home --home-dir /nonexistent syncd
COPY --from=build /opt/syncd /opt/syncd
# /healthz and /metrics; an empty value switches them off.
ENV PATH=/opt/syncd/bin:$PATH PYTHONUNBUFFERED=1 SYNCD_DAEMON__STATUS_LISTEN=0.0.0.0:8080
USER 10001:10001
WORKDIR /
EXPOSE 8080
STOPSIGNAL SIGTERM
# Healthy where /healthz says so, and where it was switched off.
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s --retries=3 CMD ["python", "-c", \
  "import os, sys, urllib.request as u; p = os.environ.get('SYNCD_DAEMON__STATUS_LISTEN', '').rpartition(':')[2]; sys.exit(0 if not p else u.urlopen('http://127.0.0.1:' + p + '/healthz', timeout=4).status != 200)"]
ENTRYPOINT ["syncd"]
CMD ["run"]
