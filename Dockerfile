# syntax=docker/dockerfile:1
#
#   docker build -t ccx .
#   docker run --rm -p 3000:3000 -v "$PWD/ccx.yaml:/etc/ccx/ccx.yaml:ro" -e ANTHROPIC_API_KEY ccx
#
# A published port reaches a container by its own address and not by loopback. So the spec has to say
#
#   server: {listen: 0.0.0.0:3000}
#
# and ccx listens there only if `clients:` are declared: `docker run --rm ccx keys new team-a` makes a key.
# With `--network host` the default, 127.0.0.1:3000, serves the host's own programs without any client.
# To have changes of the spec seen, mount its directory: an editor that replaces a file breaks a mount of that file.

FROM python:3.13-slim AS build
WORKDIR /src
RUN python -m venv /opt/ccx
COPY pyproject.toml README.md LICENSE ./
COPY ccx ccx
RUN /opt/ccx/bin/pip install --no-cache-dir --disable-pip-version-check '.[http2,redis,zstd]' \
    && /opt/ccx/bin/pip uninstall --yes pip

FROM python:3.13-slim
LABEL org.opencontainers.image.title="ccx" \
      org.opencontainers.image.description="A declarative AI gateway, compiled from config" \
      org.opencontainers.image.licenses="MIT"
# A number, so that Kubernetes can see that it is not root (runAsNonRoot).
RUN python -m pip uninstall --yes --quiet --root-user-action=ignore pip \
    && groupadd --system --gid 10001 ccx \
    && useradd --system --uid 10001 --gid ccx --home-dir /var/lib/ccx --create-home --shell /usr/sbin/nologin ccx
COPY --from=build /opt/ccx /opt/ccx
ENV PATH=/opt/ccx/bin:$PATH \
    CCX_STATE_DIR=/var/lib/ccx \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 10001:10001
WORKDIR /etc/ccx
# Where the last good spec is kept over a restart.
VOLUME /var/lib/ccx
EXPOSE 3000
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s --retries=3 \
    CMD ["python", "-c", "import urllib.request as u; u.build_opener(u.ProxyHandler({})).open('http://127.0.0.1:3000/health', timeout=2)"]
# SIGTERM drains: give it as long as `server.drain` says (docker run --stop-timeout).
STOPSIGNAL SIGTERM
ENTRYPOINT ["ccx"]
CMD ["serve", "/etc/ccx/ccx.yaml"]
