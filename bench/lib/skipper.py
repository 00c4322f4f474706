"""A server under measurement: started, asked, ended, with its edge and everything it started."""

import http.client
import io
import json
import os
import signal
import socket
import subprocess
import time
import zipfile
from pathlib import Path

# Longest that anything here is waited for.
PATIENCE = 60.0


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def environment():
    """The own environment, without what would make the server another one."""
    ours = ("HOST", "PORT", "DATA_DIR", "ADMIN_TOKEN", "RUST_LOG")
    return {k: v for k, v in os.environ.items() if not k.startswith("SKIPPER_") and k not in ours}


def answers(port, path, timeout=5.0):
    """The status of a GET over a connection of its own; None where nobody answers."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=timeout) as connection:
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n".encode())
            head = connection.recv(64)
            return int(head.split(b" ", 2)[1]) if head.startswith(b"HTTP/") else None
    except OSError:
        return None


def until_ok(port, path, began, patience=PATIENCE):
    """Milliseconds from `began` until a GET is answered with 200."""
    while time.perf_counter() - began < patience:
        if answers(port, path) == 200:
            return (time.perf_counter() - began) * 1000
        time.sleep(0.0002)
    raise TimeoutError(f"127.0.0.1:{port}{path} did not answer 200 within {patience:.0f} s")


class Server:
    def __init__(self, binary, folder):
        self.binary = Path(binary)
        self.folder = Path(folder).resolve()
        self.data = self.folder / "data"
        self.port = free_port()
        self.process = None
        self.connection = None

    def start(self):
        """Starts it; the answer is the milliseconds from exec to the first 200 of /readyz."""
        output = open(self.folder / "server.out", "ab")
        command = [self.binary, "server", "--data-dir", self.data, "--listen", f"127.0.0.1:{self.port}"]
        began = time.perf_counter()
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment(), cwd=self.folder
        )
        took = until_ok(self.port, "/readyz", began)
        output.close()
        return took

    def stop(self, kill=False):
        """Ends the server; its edge and applications go on."""
        if self.connection:
            self.connection.close()
            self.connection = None
        if self.process:
            self.process.send_signal(signal.SIGKILL if kill else signal.SIGTERM)
            self.process.wait(PATIENCE)
            self.process = None

    def clear(self):
        """Ends everything: keepers first, so that nothing is taken for a crash by somebody who still looks."""
        self.stop()
        for _ in range(100):
            left = self.processes()
            if not left:
                return
            for pid, _ in left:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            time.sleep(0.02)

    def processes(self):
        """(pid, role) of every process of this binary that knows the folder."""
        found = []
        for entry in os.listdir("/proc"):
            if not entry.isdigit() or int(entry) == os.getpid():
                continue
            proc = Path("/proc") / entry
            try:
                if os.readlink(proc / "exe") != str(self.binary):
                    continue
                words = (proc / "cmdline").read_bytes().split(b"\0")
                place = str(self.folder).encode()
                knows = any(place in word for word in words) or place in (proc / "environ").read_bytes()
                knows = knows or os.readlink(proc / "cwd").startswith(str(self.folder))
            except OSError:
                continue
            if knows and len(words) > 1:
                found.append((int(entry), words[1].decode()))
        return found

    def pid_of(self, role):
        return next(pid for pid, other in self.processes() if other == role)

    def ask(self, method, path, body=None, kind="application/json"):
        """JSON of an answer over one kept connection; anything but 2xx is an error."""
        if self.connection is None:
            self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
            self.connection.connect()
            self.connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        self.connection.request(method, path, data, {"content-type": kind} if data is not None else {})
        response = self.connection.getresponse()
        text = response.read()
        if not 200 <= response.status < 300:
            raise RuntimeError(f"{method} {path}: {response.status} {text.decode(errors='replace')[:400]}")
        return json.loads(text) if text else None

    def timed(self, method, path, body=None):
        began = time.perf_counter()
        answer = self.ask(method, path, body)
        return answer, (time.perf_counter() - began) * 1000

    def upload(self, name, version, application):
        """Uploads a package of one application, given as YAML text."""
        metadata = f"apiVersion: skipper/v2\nkind: Package\nname: {name}\nversion: {version}\n"
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(f"{name}-{version}/package.yml", metadata)
            archive.writestr(f"{name}-{version}/templates/app.yml", application)
        self.ask("POST", "/v1/packages?repository=local", buffer.getvalue(), "application/zip")

    def install(self, name, package, version="1.0.0"):
        body = {"name": name, "package": {"name": package, "version": version}}
        return self.ask("POST", "/v1/releases", body)

    def ended(self, accepted, phase="succeeded"):
        """Waits for the end of an accepted rollout, and insists on how it ended."""
        rollout = accepted["rollout"]["id"]
        began = time.perf_counter()
        while time.perf_counter() - began < PATIENCE:
            view = self.ask("GET", f"/v1/rollouts/{rollout}")
            if view["finished"]:
                if view["phase"] != phase:
                    raise RuntimeError(f"the rollout {view['phase']}: {view.get('cause')}")
                return view
            time.sleep(0.01)
        raise TimeoutError(f"rollout {rollout} did not end")


def rss_mb(pid):
    """Resident memory in MB (10^6 bytes), shared pages included."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise RuntimeError(f"process {pid} has no VmRSS")
