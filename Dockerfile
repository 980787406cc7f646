FROM golang:1.26.10-bookworm AS source
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ENV CGO_ENABLED=0

FROM source AS build
ARG VERSION=dev
RUN go build -trimpath -ldflags "-s -w -X main.version=$VERSION" -o /out/haystream . && mkdir /out/state

FROM source AS build-demo
RUN go build -trimpath -o /out/demo ./internal/demo

# The load and the view of compose.yaml.
FROM gcr.io/distroless/static-debian12:nonroot AS demo
COPY --from=build-demo /out/demo /usr/local/bin/demo
ENTRYPOINT ["demo"]

# Static, without a shell, as the user 65532. The state wants a volume.
FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /out/haystream /usr/local/bin/haystream
COPY --from=build --chown=65532:65532 /out/state /var/lib/haystream
WORKDIR /var/lib/haystream
VOLUME /var/lib/haystream
EXPOSE 9600
ENTRYPOINT ["haystream"]
CMD ["run", "-c", "/etc/haystream/config.yaml"]
