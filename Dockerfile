# Skipper's two images:
#
#   docker build --target server -t skipper-api .      control plane and edge: from scratch, one static program
#   docker build --target agent  -t skippy-agent .     agent: with Docker's command line and compose
#
# `server-prebuilt` and `agent-prebuilt` are the same with a program that was built outside, in the folder PREBUILT of this
# context; `./images build` puts it there when SKIPPER_BINARY names one. They stand before `build`, because Docker's legacy
# builder goes through every stage above the one that is asked for.
ARG RUST_IMAGE=rust:1.95-bookworm
ARG DOCKER_IMAGE=docker:28-cli

FROM scratch AS server-base
# It begins as root to take an empty folder over, and is user 10001 before anything else happens; `--user` works too.
ENV HOST=0.0.0.0 \
    PORT=3000 \
    DATA_DIR=/app/data \
    SKIPPER_RUN_AS=10001:10001 \
    SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt \
    PATH=/usr/local/bin
WORKDIR /app
COPY deploy/image/rootfs/ /
EXPOSE 3000
ENTRYPOINT ["/usr/local/bin/skipper"]
CMD ["server"]

FROM server-base AS server-prebuilt
ARG PREBUILT=deploy/image/rootfs
COPY ${PREBUILT}/ /

FROM ${DOCKER_IMAGE} AS agent-base
# Whoever may talk to Docker's socket is root on that host anyway.
ENV DATA_DIR=/app/data \
    SKIPPY_COMPOSE_BASE_DIR=/opt/skipper/tenants \
    SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
WORKDIR /app
ENTRYPOINT ["/usr/local/bin/skipper"]
CMD ["agent"]

FROM agent-base AS agent-prebuilt
ARG PREBUILT=deploy/image/rootfs
COPY ${PREBUILT}/ /

FROM ${RUST_IMAGE} AS build
# aws-lc needs a C compiler, which that image has. With the target named, the static flags are not for build scripts and macros.
WORKDIR /src
COPY . .
RUN triple="$(rustc -vV | sed -n 's/^host: //p')" \
    && CARGO_ENCODED_RUSTFLAGS='-Ctarget-feature=+crt-static' \
       cargo build --locked --release --package skipper --target "$triple" \
    && deploy/image/rootfs.sh "target/$triple/release/skipper" /etc/ssl/certs/ca-certificates.crt /rootfs

FROM server-base AS server
COPY --from=build /rootfs/ /

FROM agent-base AS agent
COPY --from=build /rootfs/ /
