FROM golang:1.26.8-bookworm AS source
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .

FROM source AS build
ARG VERSION=dev
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=$VERSION" -o /out/haystream . \
    && mkdir -p /out/state

# Static, without a shell, as the user 65532.
FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /out/haystream /usr/local/bin/haystream
COPY --from=build --chown=65532:65532 /out/state /var/lib/haystream
WORKDIR /var/lib/haystream
VOLUME /var/lib/haystream
EXPOSE 9600
ENTRYPOINT ["haystream"]
CMD ["run", "-c", "/etc/haystream/config.yaml"]
