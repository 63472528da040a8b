# syntax=docker/dockerfile:1
# The API, without torch: `docker build -f docker/api.Dockerfile -t slicebank-api .` from the root of the repository.

# The tag names a minor release, so that a rebuild brings Python's and Debian's security fixes; every package is pinned in constraints.txt.
FROM python:3.12-slim-bookworm AS dependencies
ENV PATH=/opt/slicebank/bin:$PATH PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /source
RUN python -m venv /opt/slicebank
COPY pyproject.toml constraints.txt ./
# What the package needs lies in a layer of its own, which a change of code leaves as it is.
RUN --mount=type=cache,target=/root/.cache/pip \
    python -c "import tomllib; p = tomllib.load(open('pyproject.toml', 'rb'))['project']; print(*p['dependencies'], *p['optional-dependencies']['service'], sep='\n')" > requirements.txt \
    && pip install -c constraints.txt -r requirements.txt

FROM dependencies AS wheel
COPY README.md LICENSE ./
COPY clients/python clients/python
COPY service service
COPY worker worker
COPY store store
COPY models models
COPY imaging imaging
RUN --mount=type=cache,target=/root/.cache/pip pip wheel --no-deps --wheel-dir /wheels .

FROM python:3.12-slim-bookworm
LABEL org.opencontainers.image.title="slicebank API" \
      org.opencontainers.image.description="REST front end of slicebank; needs a catalogue, a broker, shared staging and blobs" \
      org.opencontainers.image.licenses="Apache-2.0 AND CC-BY-4.0"
# A fixed number, so that owners on shared volumes agree between images and clusters can check that it is not root.
RUN useradd --system --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin slicebank \
    && install -d -m 0700 -o slicebank -g slicebank /var/lib/slicebank /var/lib/slicebank-keys
COPY --from=dependencies /opt/slicebank /opt/slicebank
ENV PATH=/opt/slicebank/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    # The root file system may be read-only: everything but the data is written below /tmp.
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp \
    MPLCONFIGDIR=/tmp/matplotlib \
    SLICEBANK_DATA_DIR=/var/lib/slicebank \
    SLICEBANK_KEYS_DIR=/var/lib/slicebank-keys \
    SLICEBANK_HOST=0.0.0.0 \
    SLICEBANK_PORT=8000
RUN --mount=type=bind,from=wheel,source=/wheels,target=/wheels pip install --no-cache-dir --no-deps /wheels/*.whl
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
# No proxy of the environment is asked, as urllib would.
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import http.client, os, sys; c = http.client.HTTPConnection('127.0.0.1', int(os.environ['SLICEBANK_PORT']), timeout=4); c.request('GET', '/health'); sys.exit(c.getresponse().status != 200)"]
ENTRYPOINT ["python", "-m", "slicebank_service"]
# Last, so that an image that cannot start is never made, nor one that carries torch by mistake.
RUN ["python", "-c", "import importlib.util, psycopg, obstore, slicebank_service.process, slicebank_service.commands; assert importlib.util.find_spec('torch') is None"]
