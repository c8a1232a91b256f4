# The proxy and the gateway in one container: `holdfast up`. Arguments come from
# the environment variable ARGS or after the image name. Keys and passwords do not
# belong there, where the process list shows them: set HOLDFAST_API_KEY,
# HOLDFAST_REQUIREPASS and REDIS_URL, as docker-compose.yml does.
#
#   docker build --build-arg VERSION=1.2.3 -t holdfast:1.2.3 .
FROM golang:1.26-alpine AS build
ARG VERSION=dev
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY backend backend
COPY fallback fallback
COPY proxy proxy
COPY gateway gateway
COPY cmd cmd
RUN CGO_ENABLED=0 go build -trimpath -ldflags="-s -w -X main.version=${VERSION}" -o /holdfast ./cmd/holdfast

FROM alpine:3
ARG VERSION=dev
LABEL org.opencontainers.image.title="holdfast" \
      org.opencontainers.image.description="Redis sidecar that does not let go, and an AI API gateway" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.licenses="MIT"
RUN apk add --no-cache ca-certificates \
 && adduser -D -H -u 10001 holdfast \
 && install -d -o holdfast -g holdfast -m 0700 /data
COPY LICENSE /usr/share/licenses/holdfast/LICENSE
COPY --from=build /holdfast /usr/local/bin/holdfast
USER holdfast
# The journal and the mirror: writes acknowledged while Redis is away live here
# until it is back, so keep this volume. A bind mount in its place, or in that of
# the configuration, must be readable for user 10001 (this one writable, too).
VOLUME /data
ENV HOLDFAST_DATA_DIR=/data \
    HOLDFAST_GATEWAY_LISTEN=0.0.0.0:3000 \
    ARGS=""
EXPOSE 3000 6380
HEALTHCHECK --interval=10s --timeout=5s --retries=3 \
  CMD wget -q -O /dev/null http://127.0.0.1:3000/healthz || exit 1
# exec makes holdfast process 1, so that a stop reaches it and it can drain.
ENTRYPOINT ["/bin/sh", "-c", "exec holdfast up $ARGS \"$@\"", "holdfast"]
