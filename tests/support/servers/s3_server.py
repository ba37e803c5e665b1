"""Runs moto's S3 server on loopback. It can also behave like an old server without conditional writes."""

import threading
from contextlib import contextmanager

import s3fs
from moto.server import ThreadedMotoServer

WAIT_SECONDS = 600.0
ENVIRONMENT = {"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any", "AWS_DEFAULT_REGION": "us-east-1"}
_CONDITIONS = ("HTTP_IF_MATCH", "HTTP_IF_NONE_MATCH")


class S3Server:
    """The server's address, its log of PUTs and its settings.

    Attributes:
        url: its endpoint.
        puts: the path of every PUT, in order.
        supports_conditions: whether it reads If-Match and If-None-Match; an old server ignores them.
        before_put, after_put: called with the path of every PUT, before and after it is done.
        gate: every request waits for it, so that a test can make the server hang.
        entered: set when a request arrives.
    """

    def __init__(self, url):
        self.url = url
        self.puts = []
        self.supports_conditions = True
        self.before_put = self.after_put = lambda path: None
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()

    def wrap(self, app):
        """Wraps the server's WSGI application so that PUTs are logged and the settings apply."""

        def wrapped(environ, start_response):
            self.entered.set()
            assert self.gate.wait(WAIT_SECONDS)
            if environ["REQUEST_METHOD"] != "PUT":
                return app(environ, start_response)
            path = environ["PATH_INFO"]
            self.before_put(path)
            self.puts.append(path)
            if not self.supports_conditions:
                environ = {key: value for key, value in environ.items() if key not in _CONDITIONS}
            response = app(environ, start_response)
            self.after_put(path)
            return response

        return wrapped


@contextmanager
def s3_server(setenv):
    """Starts a server and sends requests for s3:// URLs to it; `setenv` is monkeypatch's."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    s3 = S3Server(f"http://{host}:{port}")
    server._server.app = s3.wrap(server._server.app)
    for variable, value in {**ENVIRONMENT, "AWS_ENDPOINT_URL": s3.url}.items():
        setenv(variable, value)
    s3fs.S3FileSystem.clear_instance_cache()
    try:
        yield s3
    finally:
        s3fs.S3FileSystem.clear_instance_cache()
        s3.gate.set()
        server.stop()
