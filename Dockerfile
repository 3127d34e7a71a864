# The proxy as a small image: what it needs to run, and nothing of how it is developed. docs/operating.md tells how.
ARG PYTHON=python:3.13-slim

FROM ${PYTHON} AS build
COPY requirements.txt .
# Wheels alone: nothing is compiled, nothing of a package's own is run, and each is the one that was pinned.
RUN python -m venv /venv \
 && /venv/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes --only-binary :all: -r requirements.txt \
 && /venv/bin/pip uninstall --yes pip
COPY matcher /app/matcher
COPY proxy /app/proxy
RUN python -m compileall -q /app

FROM ${PYTHON}
RUN useradd --system --uid 10001 --user-group --home-dir /data --shell /usr/sbin/nologin discogs-proxy \
 && install -d -o discogs-proxy -g discogs-proxy -m 0700 /data
COPY --from=build /venv /venv
COPY --from=build /app /app
COPY schema.sql LICENSE /app/
WORKDIR /app
ENV PATH=/venv/bin:$PATH PYTHONPATH=/app HOST=0.0.0.0 PORT=8080 DATA_DIR=/data LOG_FORMAT=json
USER 10001:10001
VOLUME /data
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
  CMD ["python", "-m", "proxy.commands.health"]
ENTRYPOINT ["python", "-m", "proxy"]
