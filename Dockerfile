# dcpipe with both engines, as one image. By default for CPUs; for GPUs, with the CUDA build of torch from PyPI:
#
#     docker build --tag dcpipe .
#     docker build --tag dcpipe:cuda --build-arg TORCH=cuda .
#
# docs/cluster.md says how to run Snakemake in it.
ARG PYTHON=3.11
FROM python:${PYTHON}-slim
ARG TORCH=cpu

# git: DVC records in a repository; procps: Snakemake measures jobs; the rest: torch compiles with it
RUN apt-get update \
    && apt-get install --no-install-recommends --yes g++ git procps \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /opt/dcpipe
COPY . .
RUN if [ "${TORCH}" = cpu ]; then \
        grep --extended-regexp '^(torch|torchvision)==' constraints.txt > /tmp/torch.txt \
        && pip install --no-cache-dir --requirement /tmp/torch.txt --index-url https://download.pytorch.org/whl/cpu \
        && sed --regexp-extended '/^(torch|torchvision|triton|nvidia-.*|cuda-.*)==/d' constraints.txt > /tmp/constraints.txt; \
    else \
        cp constraints.txt /tmp/constraints.txt; \
    fi \
    && pip install --no-cache-dir --constraint /tmp/constraints.txt '.[digits,images,report,engines]' \
    && dcpipe --version

# a project of the host is mounted here, and belongs to another user than the one inside
RUN git config --system --add safe.directory '*'
WORKDIR /project
CMD ["dcpipe", "--help"]
