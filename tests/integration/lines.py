"""TCP lines that lead to an engine's socket, as those to another machine do.

As a program, ``lines.py ADDRESS SOCKET`` serves one until it is ended, and prints its port: for a
network namespace, which is a process's own, while sockets in the file system are everybody's.
"""

from __future__ import annotations

import contextlib
import socket
import socketserver
import sys
import threading

# what the docker command asks an engine for when it builds: from then on the connection is that
# of the BuildKit in it
_BUILDKIT = (
    b"POST /grpc HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n"
    b"Content-Length: 0\r\n\r\n"
)


class Line(socketserver.ThreadingTCPServer):
    """A TCP port that leads to an engine's socket, until it is cut.

    Args:
        engine: the socket's address.
        address: where the port is.
        buildkit: whether it leads to the BuildKit in the engine, as if that stood alone.
    """

    daemon_threads = True

    def __init__(self, engine: str, address: str = "127.0.0.1", *, buildkit: bool = False) -> None:
        self.engine = engine.removeprefix("unix://")
        self.buildkit = buildkit
        self.cut = False
        super().__init__((address, 0), None)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def port(self) -> int:
        return self.server_address[1]

    def finish_request(self, request, _address):
        if self.cut:
            return
        with socket.socket(socket.AF_UNIX) as far:
            far.connect(self.engine)
            if self.buildkit:
                far.sendall(_BUILDKIT)
                _skip_headers(far)
            back = threading.Thread(target=carry, args=(far, request), daemon=True)
            back.start()
            carry(request, far)
            with contextlib.suppress(OSError):
                far.shutdown(socket.SHUT_RDWR)  # a hijacked connection does not end by itself
            back.join()


def _skip_headers(far: socket.socket) -> None:
    """Read the answer's headers and nothing behind them."""
    said = b""
    while not said.endswith(b"\r\n\r\n"):
        said += far.recv(1)
    assert said.startswith(b"HTTP/1.1 101"), said


def carry(source: socket.socket, target: socket.socket) -> None:
    """Write to ``target`` all that ``source`` sends."""
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


if __name__ == "__main__":
    with Line(sys.argv[2], sys.argv[1]) as line:
        print(line.port, flush=True)  # noqa: T201 (for who started it)
        threading.Event().wait()
