# syntax=docker/dockerfile:1
# Every kind of worker: `docker build -f docker/worker.Dockerfile -t slicebank-worker .` from the root of the repository.
# torch's wheels bring CUDA with them and the driver comes from the host, so no CUDA base image is needed (it would add CUDA a second time).

FROM python:3.12-slim-bookworm AS dependencies
# For a smaller image without CUDA: the address of PyTorch's own index of CPU wheels, which pytorch.org names. Empty: the wheels with CUDA,
# which run on a CPU as well.
ARG TORCH_INDEX_URL=""
ENV PATH=/opt/slicebank/bin:$PATH PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /source
RUN python -m venv /opt/slicebank
COPY pyproject.toml constraints.txt ./
# What the package needs (gigabytes) lies in a layer of its own, which a change of code leaves as it is.
RUN --mount=type=cache,target=/root/.cache/pip \
    python -c "import tomllib; p = tomllib.load(open('pyproject.toml', 'rb'))['project']; print(*p['dependencies'], *p['optional-dependencies']['worker'], *p['optional-dependencies']['hf'], sep='\n')" > requirements.txt \
    && pip install ${TORCH_INDEX_URL:+--extra-index-url "$TORCH_INDEX_URL"} -c constraints.txt -r requirements.txt

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
LABEL org.opencontainers.image.title="slicebank worker" \
      org.opencontainers.image.description="Worker of slicebank: embed, train or predict; needs a catalogue, a broker, shared staging and blobs" \
      org.opencontainers.image.licenses="Apache-2.0 AND CC-BY-4.0"
# The number of the API's image: both write to the shared volumes.
RUN useradd --system --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin slicebank \
    && install -d -m 0700 -o slicebank -g slicebank /var/lib/slicebank /var/lib/slicebank-keys
COPY --from=dependencies /opt/slicebank /opt/slicebank
ENV PATH=/opt/slicebank/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    # The root file system may be read-only: everything but the data is written below /tmp.
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp \
    SLICEBANK_DATA_DIR=/var/lib/slicebank \
    # Embed workers take in what PACS and scanners send, and must call its patients what the API calls them.
    SLICEBANK_KEYS_DIR=/var/lib/slicebank-keys \
    # Files in the making are this machine's, not the shared folder's.
    SLICEBANK_SCRATCH_DIR=/tmp/scratch \
    SLICEBANK_METRICS_HOST=0.0.0.0 \
    SLICEBANK_METRICS_PORT=9100 \
    # Read by the NVIDIA container runtime where it is the default one.
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
RUN --mount=type=bind,from=wheel,source=/wheels,target=/wheels pip install --no-cache-dir --no-deps /wheels/*.whl
USER 10001:10001
EXPOSE 9100
STOPSIGNAL SIGTERM
# Loading torch and the first encoder takes a minute on a cold disk; before that a worker is not on the board.
HEALTHCHECK --interval=30s --timeout=10s --start-period=120s --retries=3 CMD ["python", "-m", "slicebank_worker.alive"]
ENTRYPOINT ["python", "-m", "slicebank_worker"]
CMD ["embed"]
# Last, so that an image that cannot start is never made.
RUN ["python", "-c", "import psycopg, obstore, slicebank_worker.process, slicebank_worker.alive, torch; print('torch', torch.__version__, 'CUDA', torch.version.cuda)"]
