# The proxy and the gateway in one container: `holdfast up`. Arguments come from
# the environment variable ARGS or after the image name. Keys and passwords do not
# belong there, where the process list shows them: set HOLDFAST_API_KEY,
# HOLDFAST_REQUIREPASS and REDIS_URL, as docker-compose.yml does.
FROM golang:1.26-alpine AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY backend backend
COPY fallback fallback
COPY proxy proxy
COPY gateway gateway
COPY cmd cmd
RUN CGO_ENABLED=0 go build -trimpath -ldflags="-s -w" -o /holdfast ./cmd/holdfast

FROM alpine:3
RUN apk add --no-cache ca-certificates \
 && adduser -D -H -u 10001 holdfast \
 && install -d -o holdfast -g holdfast -m 0700 /data
COPY --from=build /holdfast /usr/local/bin/holdfast
USER holdfast
# The journal and the mirror: writes acknowledged while Redis is away live here
# until it is back, so keep this volume.
VOLUME /data
ENV HOLDFAST_DATA_DIR=/data \
    HOLDFAST_GATEWAY_LISTEN=0.0.0.0:3000 \
    ARGS=""
EXPOSE 3000
HEALTHCHECK --interval=10s --timeout=5s --retries=3 \
  CMD wget -q -O /dev/null http://127.0.0.1:3000/healthz || exit 1
# exec makes holdfast process 1, so that a stop reaches it and it can drain.
ENTRYPOINT ["/bin/sh", "-c", "exec holdfast up $ARGS \"$@\"", "holdfast"]
