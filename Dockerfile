# Three small images from one build: the targets gateway, worker and ark-sim. docker-compose.yml puts them together.

FROM debian:trixie-slim AS build
WORKDIR /src
COPY scripts/install_deps.sh scripts/check_hardening.sh scripts/
RUN scripts/install_deps.sh build
COPY CMakeLists.txt CMakePresets.json ./
COPY cmake cmake
COPY common common
COPY gateway gateway
COPY worker worker
COPY simulator simulator
COPY docs/openapi.json docs/
RUN cmake --preset release -DARKRELAY_WERROR=OFF -DARKRELAY_PACKAGING=OFF \
 && cmake --build --preset release \
 && strip build/release/bin/arkrelay-* \
 && scripts/check_hardening.sh build/release/bin/arkrelay-* \
 && mkdir /keys /pictures

FROM debian:trixie-slim AS runtime
RUN apt-get update -qq \
 && apt-get install -y --no-install-recommends \
      ca-certificates libevent-2.1-7t64 libhiredis1.1.0 libjansson4 libssl3t64 \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/apt /var/log/dpkg.log
USER 10001:10001
LABEL org.opencontainers.image.licenses="MIT" org.opencontainers.image.vendor="arkrelay"

FROM runtime AS ark-sim
LABEL org.opencontainers.image.title="arkrelay-ark-sim" \
      org.opencontainers.image.description="A simulator of ARK's image API, for tests and for trying arkrelay without a key"
COPY --from=build /src/build/release/bin/arkrelay-ark-sim /usr/local/bin/
ENV ARK_SIM_LISTEN=0.0.0.0:8900
EXPOSE 8900
ENTRYPOINT ["arkrelay-ark-sim"]

# Gateway and worker speak to S3, and the worker to ARK.
FROM runtime AS client
USER root
RUN apt-get update -qq \
 && apt-get install -y --no-install-recommends libcurl4t64 \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/apt /var/log/dpkg.log
USER 10001:10001

FROM client AS gateway
LABEL org.opencontainers.image.title="arkrelay-gateway" \
      org.opencontainers.image.description="Accepts image tasks over HTTP and streams their events"
COPY --from=build /src/build/release/bin/arkrelay-gateway /usr/local/bin/
# Where GATEWAY_KEYS_FILE can be: a new volume there belongs to the gateway's user.
COPY --from=build --chown=10001:10001 /keys /keys
# Where STORAGE can be, for gateway and worker alike.
COPY --from=build --chown=10001:10001 /pictures /pictures
ENV GATEWAY_LISTEN=0.0.0.0:8000
EXPOSE 8000
ENTRYPOINT ["arkrelay-gateway"]

FROM client AS worker
LABEL org.opencontainers.image.title="arkrelay-worker" \
      org.opencontainers.image.description="Takes picture tasks from Redis and has ARK make the pictures"
COPY --from=build /src/build/release/bin/arkrelay-worker /usr/local/bin/
COPY --from=build --chown=10001:10001 /pictures /pictures
ENTRYPOINT ["arkrelay-worker"]
