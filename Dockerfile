# The service alone: no compiler, no user's rights, nothing but /data can be written.
FROM python:3.13-slim AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY src ./src
RUN python -m venv /opt/imkin && /opt/imkin/bin/pip install --no-cache-dir '.[serve,raw,archives]'

FROM python:3.13-slim
RUN useradd --uid 10001 --home-dir /data --create-home --shell /usr/sbin/nologin imkin
COPY --from=build /opt/imkin /opt/imkin
ENV PATH=/opt/imkin/bin:$PATH XDG_CACHE_HOME=/data PYTHONDONTWRITEBYTECODE=1
USER imkin
VOLUME /data
EXPOSE 9082
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9082/healthz', timeout=4)"]
ENTRYPOINT ["imkin"]
# Others reach a container: this wants --token-file, or --no-token where its port is published on loopback alone.
CMD ["serve", "--host", "0.0.0.0", "--port", "9082", "--catalogue", "/data/catalogue.sqlite"]
