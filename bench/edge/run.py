#!/usr/bin/env python3
"""Throughput and latency of the edge beside nginx, HAProxy and Caddy, and the time of a shift.

    bench/edge/run.py [--rounds 6] [--seconds 4] [--profile release] [--bytes 100] [--only edge,nginx] [--no-shift]

Everything runs on this machine over loopback: the load (wrk -t1 -c64), the proxy under test with as many threads as there
are cores, and a trivial upstream. The proxies take turns within a round, so that whatever else the machine does hits all of
them alike; what counts are the ratios within a round, and their median. Nothing is left running.
"""

import argparse
import json
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PACKAGES = {"wrk": "wrk", "nginx": "nginx-light", "haproxy": "haproxy", "caddy": "caddy"}


def install(wanted):
    missing = [PACKAGES[name] for name in wanted if not shutil.which(name)]
    if not missing:
        return
    if os.geteuid() != 0:
        print(f"not installed, and only root may: {' '.join(missing)}", file=sys.stderr)
        return
    env = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    subprocess.run(["apt-get", "update", "-qq"], env=env, check=False, stdout=subprocess.DEVNULL)
    for package in missing:
        # One by one: where one is not packaged, the others are still there to compare with.
        command = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", package]
        subprocess.run(command, env=env, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(port):
    for _ in range(500):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.02)
    raise SystemExit(f"nothing listens on {port}")


class Bench:
    def __init__(self, options):
        self.options = options
        self.folder = tempfile.mkdtemp(prefix="skipper-bench-")
        self.processes = []
        self.threads = str(os.cpu_count())

    def start(self, *command, port=None):
        log = open(os.path.join(self.folder, "log"), "ab")
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder)
        self.processes.append(process)
        if port:
            wait_for(port)
        return process

    def end(self):
        for process in reversed(self.processes):
            process.send_signal(signal.SIGTERM)
        for process in self.processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def write(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def tool(self):
        profile = self.options.profile
        command = ["cargo", "build", "-q", "--locked", "--profile", profile, "-p", "skipper-edge", "--example", "edge_bench"]
        subprocess.run(command, cwd=ROOT, check=True)
        target = os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target"))
        return os.path.join(target, profile, "examples", "edge_bench")

    def edge(self, tool, upstream):
        port = free_port()
        folder = os.path.join(self.folder, "edge")
        os.mkdir(folder, 0o700)
        process = self.start(tool, "edge", folder, f"127.0.0.1:{port}", self.threads)
        control = os.path.join(folder, "control.sock")
        for _ in range(500):
            if os.path.exists(control):
                break
            time.sleep(0.02)
        self.rest = rss(process.pid)
        subprocess.run([tool, "route", control, f"127.0.0.1:{upstream}"], check=True)
        wait_for(port)
        return port, process.pid, control

    def nginx(self, upstream):
        port = free_port()
        config = self.write("nginx.conf", f"""
worker_processes {self.threads};
daemon off;
pid {self.folder}/nginx.pid;
error_log {self.folder}/nginx.log;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  keepalive_requests 1000000000;
  upstream u {{ server 127.0.0.1:{upstream}; keepalive 256; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://u;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $host;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_set_header X-Forwarded-Host $host;
    }}
  }}
}}
""")
        process = self.start("nginx", "-c", config, "-p", self.folder, port=port)
        return port, process.pid

    def haproxy(self, upstream):
        port = free_port()
        config = self.write("haproxy.cfg", f"""
global
  nbthread {self.threads}
  maxconn 8192
defaults
  mode http
  timeout client 60s
  timeout server 60s
  timeout connect 5s
  option forwardfor
  http-reuse always
frontend f
  bind 127.0.0.1:{port}
  http-request set-header X-Forwarded-Proto http
  http-request set-header X-Forwarded-Host %[req.hdr(host)]
  default_backend b
backend b
  server s 127.0.0.1:{upstream}
""")
        process = self.start("haproxy", "-f", config, port=port)
        return port, process.pid

    def caddy(self, upstream):
        port = free_port()
        config = self.write("Caddyfile", f"""
{{
  admin off
  auto_https off
}}
http://127.0.0.1:{port} {{
  reverse_proxy 127.0.0.1:{upstream}
}}
""")
        process = self.start("caddy", "run", "--config", config, "--adapter", "caddyfile", port=port)
        return port, process.pid


def rss(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return int(re.search(r"VmRSS:\s+(\d+)", status.read()).group(1)) / 1024


def cpu(pid):
    """Seconds of a process and its children that live."""
    pids = [pid]
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat", encoding="ascii") as stat:
                    if int(stat.read().rsplit(")", 1)[1].split()[1]) == pid:
                        pids.append(int(entry))
            except OSError:
                pass
    total = 0
    for one in pids:
        with open(f"/proc/{one}/stat", encoding="ascii") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
            total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


def wrk(port, pid, seconds, connections):
    before = cpu(pid)
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", f"http://127.0.0.1:{port}/"]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    used = cpu(pid) - before
    requests = int(re.search(r"(\d+) requests in", text).group(1))
    p99, unit = re.search(r"99%\s+([\d.]+)(us|ms|s)", text).groups()
    factor = {"us": 0.001, "ms": 1, "s": 1000}[unit]
    failed = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
    bad = (int(failed.group(1)) if failed else 0) + (sum(map(int, errors.groups())) if errors else 0)
    return {
        "rps": float(re.search(r"Requests/sec:\s+([\d.]+)", text).group(1)),
        "p99": float(p99) * factor,
        "cpu_us": used / max(requests, 1) * 1e6,
        "bad": bad,
    }


def shift(bench, tool, control, port, upstreams, routes):
    load = subprocess.Popen(
        ["wrk", "-t1", "-c32", "-d600s", f"http://127.0.0.1:{port}/"], stdout=subprocess.PIPE, text=True
    )
    try:
        command = [tool, "shift", control, *(f"127.0.0.1:{one}" for one in upstreams), "1000", str(routes)]
        result = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    finally:
        load.send_signal(signal.SIGINT)
        text = load.communicate()[0]
    failed = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    errors = re.search(r"Socket errors: .*", text)
    requests = re.search(r"(\d+) requests in", text).group(1)
    print(
        f"shift at {routes:>6} routes under load: p50 {result['p50_ms']} ms, p99 {result['p99_ms']} ms, "
        f"max {result['max_ms']} ms; whole table in {result['sync_ms']} ms; "
        f"{requests} requests, {failed.group(1) if failed else 0} refused, {errors.group(0) if errors else 'no socket errors'}"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--bytes", type=int, default=100)
    parser.add_argument("--profile", default="release")
    parser.add_argument("--only", default="edge,nginx,haproxy,caddy")
    parser.add_argument("--no-shift", action="store_true")
    options = parser.parse_args()
    wanted = options.only.split(",")
    install(["wrk"] + [name for name in wanted if name != "edge"])
    if not shutil.which("wrk"):
        raise SystemExit("wrk is needed")
    bench = Bench(options)
    try:
        tool = bench.tool()
        upstreams = [free_port() for _ in range(2)]
        for port in upstreams:
            bench.start(tool, "upstream", f"127.0.0.1:{port}", str(options.bytes), port=port)
        edge_port, edge_pid, control = bench.edge(tool, upstreams[0])
        proxies = {"edge": (edge_port, edge_pid)}
        for name in ("nginx", "haproxy", "caddy"):
            if name in wanted and shutil.which(name):
                proxies[name] = getattr(bench, name)(upstreams[0])
        for port, pid in proxies.values():
            wrk(port, pid, 1, options.connections)
        rounds = []
        for number in range(options.rounds):
            order = list(proxies)
            # Another one first each time.
            order = order[number % len(order):] + order[: number % len(order)]
            result = {name: wrk(*proxies[name], options.seconds, options.connections) for name in order}
            rounds.append(result)
            cells = "  ".join(
                f"{name} {one['rps']:>7.0f}/s p99 {one['p99']:.2f} ms {one['cpu_us']:.1f} us" + (f" BAD {one['bad']}" if one["bad"] else "")
                for name, one in sorted(result.items())
            )
            print(f"round {number + 1}: {cells}", flush=True)
        print(f"\nmedians of {options.rounds} rounds, wrk -t1 -c{options.connections} -d{options.seconds}s, {options.bytes} bytes:")
        for name in proxies:
            middle = lambda key: statistics.median(one[name][key] for one in rounds)
            ratio = statistics.median(one["edge"]["rps"] / one[name]["rps"] for one in rounds)
            p99 = statistics.median(one["edge"]["p99"] / one[name]["p99"] for one in rounds)
            print(
                f"  {name:<8} {middle('rps'):>8.0f} requests/s  p99 {middle('p99'):>6.2f} ms  {middle('cpu_us'):>5.1f} us CPU a request"
                + ("" if name == "edge" else f"  edge/{name}: throughput {ratio:.2f}x, p99 {p99:.2f}x")
            )
        print(f"  edge RSS: {bench.rest:.1f} MB at rest, {rss(edge_pid):.1f} MB after this load")
        if not options.no_shift:
            for routes in (10, 10_000):
                shift(bench, tool, control, edge_port, upstreams, routes)
    finally:
        bench.end()


if __name__ == "__main__":
    main()
