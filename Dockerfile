# Slim, non-root, without torch: what serves and nothing else.
ARG BASE=python:3.11-slim

FROM ${BASE} AS libraries
# requirements-cuda.lock for NVIDIA GPUs.
ARG LOCK=requirements.lock
WORKDIR /build
COPY ${LOCK} requirements.lock
# Wheels alone, for pip would build anything else with what it fetches without a hash. What is taken out: tests, sources, what ONNX
# Runtime has for conversion and for C programs, zstandard's second way into its library, and copies that stand for links, which
# wheels cannot hold.
RUN python3 -m venv /opt/quartet \
    && /opt/quartet/bin/pip install --no-cache-dir --require-hashes --only-binary :all: --requirement requirements.lock \
    && /opt/quartet/bin/pip uninstall --yes setuptools pip \
    && find /opt/quartet \( -name tests -o -path '*/pydicom/data/test_files' -o -path '*/onnxruntime/quantization' \
        -o -path '*/onnxruntime/tools' -o -path '*/onnxruntime/transformers' -o -name 'libonnxruntime.so.*' \
        -o -path '*/zstandard/_cffi.*' -o -path '*/_gdcm/XML' \) -prune -exec rm -r {} + \
    && find /opt/quartet -type f -regex '.*\.\(pyi\|h\|c\|cpp\|pxd\|pyx\)' -delete \
    && for library in /opt/quartet/lib/python*/site-packages/_gdcm/lib*.so; do for copy in "$library".*; do \
        if cmp -s "$library" "$copy"; then ln -sf "${library##*/}" "$copy"; fi; done; done

FROM ${BASE} AS materials
WORKDIR /build
COPY deploy/image/sbom.lock requirements.lock
RUN python3 -m venv /opt/materials \
    && /opt/materials/bin/pip install --no-cache-dir --require-hashes --only-binary :all: --requirement requirements.lock
COPY pyproject.toml ./
COPY --from=libraries /opt/quartet /opt/quartet
RUN /opt/materials/bin/cyclonedx-py environment --short-PURLs --output-reproducible --pyproject pyproject.toml \
    --output-file quartet.cdx.json /opt/quartet/bin/python

FROM ${BASE}
ENV PATH=/opt/quartet/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    BENTOML_HOME=/tmp/bentoml \
    BENTOML_DO_NOT_TRACK=True \
    ORT_DISABLE_TELEMETRY=1 \
    QUARTET_GRPC_HOST=0.0.0.0
# What changes least comes first: a new model or a changed line of code leaves the libraries where they are.
COPY --from=libraries /opt/quartet /opt/quartet
COPY --from=materials /build/quartet.cdx.json /usr/share/quartet/quartet.cdx.json
WORKDIR /srv/quartet
COPY models models
COPY service service
# A number, so that runAsNonRoot can see that it is not root.
USER 10001:10001
EXPOSE 3000 8001
STOPSIGNAL SIGTERM
# Without urllib, which would ask the proxy that HTTP_PROXY names.
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
    CMD ["python3", "-c", "from http.client import HTTPConnection; asked = HTTPConnection('127.0.0.1', 3000, timeout=2); asked.request('GET', '/readyz'); exit(asked.getresponse().status != 200)"]
CMD ["python3", "-m", "service", "serve", "--host", "0.0.0.0", "--port", "3000"]
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="quartet" \
      org.opencontainers.image.description="An inference microservice with its models packaged in." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
