# densebench in a container: `benchmark` runs main.py, `viewer` one of the two servers. docs/docker.md has the sizes.
#
#   docker build -t densebench:cpu .
#   docker build -t densebench:gpu --build-arg VARIANT=gpu .

ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS base
# torch.compile writes C++ and compiles it where it runs, so the compiler stays. Debian's own Python keeps its headers
# in a package of their own, the official image has them.
RUN apt-get update \
 && export DEBIAN_FRONTEND=noninteractive \
 && apt-get install -y --no-install-recommends g++ \
 && if [ ! -f "$(python -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h" ]; then \
      apt-get install -y --no-install-recommends python3-dev; fi \
 && apt-get clean \
 && rm -rf /var/lib/apt/lists/* /var/cache/debconf/* /var/cache/ldconfig/* /var/log/*

FROM base AS dependencies
ARG VARIANT=cpu
# for a registry of your own; an address with a password in it would show in `docker history`
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG PIP_TRUSTED_HOST
ENV PATH=/opt/venv/bin:$PATH
COPY requirements.lock requirements-tensorrt.lock /opt/densebench/
# PyTorch's wheel doesn't import without the CUDA libraries it is linked with. On the CPU the rest of them goes: what
# `import torch` has not opened, and Triton, which writes kernels for GPUs only.
RUN case "$VARIANT" in cpu) lock=requirements.lock ;; gpu) lock=requirements-tensorrt.lock ;; \
      *) echo "VARIANT is cpu or gpu (got '$VARIANT')" >&2; exit 2 ;; esac \
 && python -m venv /opt/venv \
 && pip install --no-cache-dir --disable-pip-version-check --progress-bar off \
      --require-hashes -r "/opt/densebench/$lock" \
 && if [ "$VARIANT" = cpu ]; then \
      pip uninstall --quiet --yes triton \
   && python -c 'import torch; print(open("/proc/self/maps").read())' | grep -o '/opt/venv/.*' | sort -u >/tmp/opened \
   && find /opt/venv/lib/python*/site-packages/nvidia -name '*.so*' | grep -vxFf /tmp/opened | xargs rm \
   && rm /tmp/opened \
   && python -c 'import torch, torchvision, torchao'; fi

FROM dependencies AS package
ARG IMAGENET=false
WORKDIR /source
COPY pyproject.toml README.md ./
COPY src src
RUN pip install --no-cache-dir --disable-pip-version-check --no-deps --no-build-isolation --prefix /package .
ENV TORCH_HOME=/weights
RUN mkdir -m 1777 /weights \
 && case "$IMAGENET" in false) ;; \
      true) PYTHONPATH="$(echo /package/lib/python*/site-packages)" python -c \
        'from densebench.workloads.imagenet import open_imagenet_weights as get; get("densenet121", 224)' ;; \
      *) echo "IMAGENET is true or false (got '$IMAGENET')" >&2; exit 2 ;; esac \
 && find /weights -type d -exec chmod 1777 {} +

FROM dependencies AS app
# any user may be named at the start: HOME, the place of key and caches, and the working folder are open to all
RUN useradd --uid 1000 --create-home densebench \
 && mkdir -p /var/lib/densebench /work \
 && chmod 1777 /home/densebench /var/lib/densebench /work
COPY --from=package /package /opt/venv
COPY --from=package /weights /opt/torch
COPY main.py /opt/densebench/
# USER's name is asked for by Inductor, and a user given by number has none
ENV HOME=/home/densebench USER=densebench PYTHONUNBUFFERED=1 TORCH_HOME=/opt/torch \
    XDG_DATA_HOME=/var/lib/densebench/share XDG_CACHE_HOME=/var/lib/densebench/cache
USER densebench
WORKDIR /work
ARG VARIANT
LABEL org.opencontainers.image.title="densebench" \
      org.opencontainers.image.description="Which optimization should I deploy my image classifier with?" \
      org.opencontainers.image.licenses="Apache-2.0" \
      densebench.variant="$VARIANT"

FROM app AS viewer
ENV PORT=6006
EXPOSE 6006 6007
HEALTHCHECK --interval=10s --timeout=10s --start-period=120s --retries=3 CMD ["python", "-c", "import http.client, os; asked = http.client.HTTPConnection('127.0.0.1', int(os.environ['PORT']), timeout=8); asked.request('GET', '/data/environment'); raise SystemExit(asked.getresponse().status != 200)"]
ENTRYPOINT ["python", "-m", "densebench.viewer.board"]

FROM app AS benchmark
ENTRYPOINT ["python", "/opt/densebench/main.py"]
