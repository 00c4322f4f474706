"""The figures: what is measured, how, and what was promised."""

import json
import subprocess
import time
from dataclasses import dataclass
from typing import Callable

import seed
from skipper import Server, environment, free_port, rss_mb, until_ok
from table import quantile

# An application that keeps no process: what is measured is Skipper, not the sample.
IDLE = """\
apiVersion: skipper/v2
kind: Application
metadata: { name: web }
spec:
  resource: builtin:sample
  health: running
  replicas: 0
"""

# An application as people write it, with the default health checks.
LIVE = """\
apiVersion: skipper/v2
kind: Application
metadata: { name: web }
spec:
  resource: builtin:sample
  ports: [{ name: http, env: PORT, listen: PORT_HERE }]
  health: { http: { path: /health, port: http } }
  stop: { grace: 2s }
"""

# As above, for many upgrades in a row: no bake, and users leave within the drain.
MOVING = """\
apiVersion: skipper/v2
kind: Application
metadata: { name: web }
spec:
  resource: builtin:sample
  env: { SAMPLE_VERSION: "{{round}}" }
  ports: [{ name: http, env: PORT, listen: PORT_HERE }]
  health: { http: { path: /health, port: http }, interval: 50ms }
  bake: 0s
  drain: 2s
  stop: { grace: 2s }
"""


@dataclass
class Figure:
    name: str
    about: str
    measure: Callable
    long: bool = False


def start(binary, folder, table):
    empty, existing = [], []
    for number in range(15):
        place = folder / str(number)
        place.mkdir()
        server = Server(binary, place)
        try:
            empty.append(server.start())
            server.stop()
            existing.append(server.start())
        finally:
            server.clear()
    table.add("start", "server ready after exec, empty folder (p50)", quantile(empty, 50), 50, "ms", f"max {max(empty):.1f}")
    table.add(
        "start", "server ready after exec, existing folder (p50)", quantile(existing, 50), 20, "ms", f"max {max(existing):.1f}"
    )


def start_many(binary, folder, table):
    server = Server(binary, folder)
    try:
        seeded(server, 10_000)
        took = []
        for _ in range(7):
            took.append(server.start())
            server.stop()
        table.add("start-10k", "server ready after exec, 10,000 releases (p50)", quantile(took, 50), 300, "ms", f"max {max(took):.1f}")
    finally:
        server.clear()


def seeded(server, count):
    """A stopped server with one real release and `count` copies of it."""
    server.start()
    server.upload("idle", "1.0.0", IDLE)
    server.ended(server.install("template", "idle"))
    server.stop()
    seed.releases(server.data / "skipper.db", "template", count)


def rest(binary, folder, table):
    server = Server(binary, folder)
    try:
        server.start()
        # At rest: after whatever the start, and then one install, left to be done.
        time.sleep(5)
        table.add("rest", "RSS of the server at rest, nothing installed", rss_mb(server.process.pid), 20, "MB")
        table.add("rest", "RSS of the edge at rest, nothing installed", rss_mb(server.pid_of("edge")), 10, "MB")
        port = free_port()
        server.upload("live", "1.0.0", LIVE.replace("PORT_HERE", str(port)))
        server.ended(server.install("live", "live"))
        time.sleep(5)
        table.add("rest", "RSS of the server at rest, one release runs", rss_mb(server.process.pid), 20, "MB")
        table.add("rest", "RSS of the edge at rest, one release runs", rss_mb(server.pid_of("edge")), 10, "MB")
        table.add("rest", "RSS of a keeper", rss_mb(server.pid_of("keeper")), None, "MB")
    finally:
        server.clear()


def live(binary, folder, table):
    """From the request to the first answer through the edge, beyond what the application itself needs."""
    alone = []
    for _ in range(30):
        port = free_port()
        began = time.perf_counter()
        process = subprocess.Popen(
            [binary, "sample", f"--server.port={port}"], stdout=subprocess.DEVNULL, env=environment()
        )
        alone.append(until_ok(port, "/health", began))
        process.kill()
        process.wait()
    server = Server(binary, folder)
    whole, ended = [], []
    try:
        server.start()
        for number in range(30):
            port = free_port()
            server.upload("live", f"1.0.{number}", LIVE.replace("PORT_HERE", str(port)))
            began = time.perf_counter()
            accepted = server.install(f"live-{number}", "live", f"1.0.{number}")
            whole.append(until_ok(port, "/greeting", began))
            server.ended(accepted)
            ended.append((time.perf_counter() - began) * 1000)
            server.ended(server.ask("DELETE", f"/v1/releases/live-{number}"))
    finally:
        server.clear()
    own = quantile(alone, 50)
    table.add(
        "live", "install to live, beyond the application's own readiness (p50)", quantile(whole, 50) - own, 40, "ms",
        f"in all {quantile(whole, 50):.1f}, the application alone {own:.1f}, rollout ended {quantile(ended, 50):.1f}",
    )


def accept(binary, folder, table):
    """A request that is answered is synced to disk."""
    server = Server(binary, folder)
    took = []
    try:
        server.start()
        server.upload("idle", "1.0.0", IDLE)
        for number in range(300):
            body = {"name": f"idle-{number}", "package": {"name": "idle", "version": "1.0.0"}}
            accepted, ms = server.timed("POST", "/v1/releases", body)
            took.append(ms)
            server.ended(accepted)
    finally:
        server.clear()
    table.add("accept", "install accepted and durable (p50)", quantile(took, 50), 5, "ms", f"{len(took)} installs, SQLite")
    table.add("accept", "install accepted and durable (p99)", quantile(took, 99), 25, "ms", f"max {max(took):.1f}")


def many(binary, folder, table):
    """List and status do not depend on how many releases there are."""
    server = Server(binary, folder)
    rows = {}
    have = 0
    try:
        seeded(server, 10)
        have = 10
        for count in (10, 1_000, 100_000):
            if count > have:
                seed.releases(server.data / "skipper.db", "template", count - have, have)
                have = count
            server.start()
            # The first look at everything that should run is over then; it is `start-10k` that tells of the start.
            time.sleep(10)
            took = {"list": [], "status": []}
            for number in range(200):
                took["list"].append(server.timed("GET", "/v1/releases?limit=10")[1])
                name = f"bench-{number * 7919 % count:06d}"
                took["status"].append(server.timed("GET", f"/v1/releases/{name}")[1])
            server.stop()
            rows[count] = {name: quantile(values, 50) for name, values in took.items()}
    finally:
        server.clear()
    for name in ("list", "status"):
        few, most = rows[10][name], rows[100_000][name]
        # Flat: within a factor of two and half a millisecond, which is what a busy machine adds.
        table.add(
            "many", f"{name} with 100,000 releases (p50)", most, few * 2 + 0.5, "ms",
            ", ".join(f"{count:,}: {row[name]:.2f}" for count, row in rows.items()),
        )


def history(binary, folder, table):
    server = Server(binary, folder)
    took = []
    try:
        seeded(server, 0)
        seed.revisions(server.data / "skipper.db", "template", 1_000_000)
        server.start()
        after = ""
        for _ in range(500):
            page, ms = server.timed("GET", f"/v1/releases/template/history?limit=20{after}")
            took.append(ms)
            after = f"&after={page['next']}" if page.get("next") else ""
    finally:
        server.clear()
    table.add("history", "history of 1,000,000 revisions, a page (p99)", quantile(took, 99), 5, "ms", f"p50 {quantile(took, 50):.2f}")


def upgrades(binary, folder, table, rounds=30, requests=100_000):
    """Upgrades of the whole system, process and all, while users of every kind are busy."""
    server = Server(binary, folder)
    port = free_port()
    try:
        server.start()
        application = MOVING.replace("PORT_HERE", str(port)).replace("{{round}}", "0")
        server.upload("moving", "1.0.0", application)
        server.ended(server.install("moving", "moving"))
        command = [
            binary, "load", f"http://127.0.0.1:{port}/greeting", "--seconds", "3000", "--requests", str(requests),
            "--keep-alive", "8", "--fresh", "2", "--http2", "2", "--websockets", "2", "--events", "2", "--uploads", "1",
            "--upload-bytes", str(100 * 1024 * 1024), "--json",
        ]
        load = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment())
        took = []
        for number in range(1, rounds + 1):
            version = f"1.0.{number}"
            server.upload("moving", version, MOVING.replace("PORT_HERE", str(port)).replace("{{round}}", str(number)))
            began = time.perf_counter()
            body = {"package": {"name": "moving", "version": version}}
            accepted = server.ask("POST", "/v1/releases/moving/upgrade", body)
            server.ended(accepted)
            took.append((time.perf_counter() - began) * 1000)
        report = json.loads(load.communicate(timeout=3000)[0])
    finally:
        server.clear()
    # WebSockets and event streams last for ever; what outlives the drain of two seconds is cut, and that is no fault.
    lasting = sum(kind["failed"] for name, kind in report["kinds"].items() if name in ("websocket", "server-sent-events"))
    short = sum(report["failures"].values()) - lasting
    answered = sum(kind["ok"] for kind in report["kinds"].values())
    table.add(
        "upgrades", f"failed requests in {rounds} upgrades under load", short, 0, "",
        f"{answered:,} answers; {lasting} streams outlived the drain; an upgrade p50 {quantile(took, 50):.0f} ms",
    )


def soak(binary, folder, table):
    upgrades(binary, folder, table, rounds=1000, requests=1_000_000)


ALL = {
    figure.name: figure
    for figure in (
        Figure("start", "time until the server is ready", start),
        Figure("start-10k", "time until the server is ready with 10,000 releases", start_many),
        Figure("rest", "memory at rest", rest),
        Figure("live", "time from an install to the first answer", live),
        Figure("accept", "time until a request is durable", accept),
        Figure("many", "list and status with 10 to 100,000 releases", many),
        Figure("history", "history of a million revisions", history),
        Figure("upgrades", "upgrades under load lose nothing", upgrades),
        Figure("soak", "1,000 upgrades, a million requests", soak, long=True),
    )
}
