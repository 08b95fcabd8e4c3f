# One image for the API, the workers, the migration and the command line: the compose file says which of them a container is.
# It is built without BuildKit, too.

# The pages.
FROM node:22.21.1-bookworm-slim AS web
WORKDIR /web
COPY web/package.json web/package-lock.json web/.npmrc ./
# What the lock says; `npm ci` would also want the packages of every other kind of machine in it.
RUN npm install --no-save --loglevel=error
COPY web ./
RUN node node_modules/vite/bin/vite.js build --outDir dist --logLevel warn

# The environment with the locked packages, and this project in it.
FROM python:3.11.14-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_NO_INPUT=1 PIP_ROOT_USER_ACTION=ignore
# strip(1) leaves nothing of itself in the image, so its version doesn't matter.
# hadolint ignore=DL3008
RUN apt-get update -q && apt-get install -q -y --no-install-recommends binutils && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY requirements-build.lock requirements-image.lock ./
RUN pip install -q --require-hashes -r requirements-build.lock \
 && python -m venv --without-pip /opt/magasin \
 && pip --python /opt/magasin install -q --no-compile --require-hashes -r requirements-image.lock \
 # 29 MB of names for debuggers. psycopg's own libraries were changed after they were linked, and strip would spoil them.
 && find /opt/magasin -name '*.so' -not -path '*psycopg_binary*' -exec strip --strip-unneeded {} + \
 && find /opt/magasin \( -name '*.pyi' -o -name '*.pyx' -o -name '*.pxd' -o -name '*.[ch]' \) -delete
COPY pyproject.toml README.md LICENSE ./
COPY api api
COPY events events
COPY infra infra
COPY magasin magasin
COPY migrations migrations
COPY operations operations
COPY projections projections
COPY schemas schemas
COPY stock stock
COPY workers workers
RUN pip wheel -q --no-deps --no-build-isolation --wheel-dir /wheels . \
 && pip --python /opt/magasin install -q --no-compile --no-deps /wheels/magasin-*.whl
# Only what is imported is compiled, which is half of it: nothing can be compiled later in a file system that is read-only.
WORKDIR /opt/magasin/lib/python3.11/site-packages
RUN /opt/magasin/bin/python -c "import alembic.command, api.__main__, magasin.__main__, workers.__main__; from magasin import migrate; migrate.declared_tables()" \
 && /opt/magasin/bin/python -m compileall -q api events infra magasin migrations operations projections schemas stock uvicorn workers

FROM python:3.11.14-slim-bookworm
ARG VERSION=local
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Magasin" \
      org.opencontainers.image.description="Keeps the stock of a chain of shops right, at once, everywhere." \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="docker.io/library/python:3.11.14-slim-bookworm"
RUN groupadd --system --gid 10001 magasin \
 && useradd --system --uid 10001 --gid 10001 --no-log-init --create-home --home-dir /var/lib/magasin --shell /usr/sbin/nologin magasin
COPY --from=build /opt/magasin /opt/magasin
COPY --from=web /web/dist /opt/magasin/lib/python3.11/site-packages/web/dist
ENV PATH=/opt/magasin/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    MAGASIN_HOME=/var/lib/magasin \
    MAGASIN_HOST=0.0.0.0
USER 10001:10001
WORKDIR /var/lib/magasin
EXPOSE 8080 9100
# The API and the workers end gracefully on it.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=8s --start-period=90s --retries=3 CMD ["python", "-m", "magasin.healthy"]
CMD ["python", "-m", "api"]
