# Locum's image: one static program and nothing else, run by nobody in particular.
#
#   docker build --tag ghcr.io/locum-dev/locum:0.1.0 .
#
# The same bytes each time: the dependencies are locked and the toolchain is pinned; what is left is time, which BuildKit
# 0.13 or newer and buildah take from outside:
#
#   export SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
#   docker buildx build --build-arg SOURCE_DATE_EPOCH --output type=oci,dest=locum.tar,rewrite-timestamp=true .
#   buildah build --timestamp $SOURCE_DATE_EPOCH .
#
# A program that is built already (static, named `locum`, in the folder given as context) goes in without a compiler and
# without any other image:
#
#   docker build --build-arg PROGRAM=given --file Dockerfile FOLDER

# Where the program comes from: `built` here, or `given`.
ARG PROGRAM=built

FROM docker.io/library/rust:1.95.0-slim-bookworm AS built
WORKDIR /locum
COPY . .
# What a compiler runs while it builds stays as it is: only the program itself is linked statically.
RUN cargo rustc --release --locked --bin locum -- -C target-feature=+crt-static -C strip=symbols \
    && mv target/release/locum /program

FROM scratch AS given
COPY locum /program

FROM ${PROGRAM} AS program

FROM scratch
LABEL org.opencontainers.image.title="Locum" \
      org.opencontainers.image.description="A control plane for stock Envoy proxies that never misses a backend" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="0.1.0"
COPY --from=program /program /locum
# A number, so that Kubernetes sees that it is not root.
USER 65532:65532
ENTRYPOINT ["/locum"]
