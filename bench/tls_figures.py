"""What TLS costs: handshakes, REGISTERs, calls, idle connections. Part of bench/run, which gives itself as `run`."""
import re
import statistics
import subprocess

AT = "127.0.77.1:5061"
HANDSHAKES, REGISTERS, CALLS, ROUNDS = 4000, 200000, 40000, 5
IDLE, WARM = 4000, 500


def write_conf(run, folder):
    subprocess.run([f"{run.BIN}/belay", "cert", "--dir", folder, "example.com"], check=True, capture_output=True)
    run.write_conf(folder, False)
    text = open(f"{folder}/conf.yaml").read().replace(f"[udp {run.ADDR}]", f"tls {AT}")
    text += "tls: {cert: example.com.pem, key: example.com.key, ca: ca.pem}\n"
    open(f"{folder}/conf.yaml", "w").write(text)


def belayd(run, folder, *before):
    write_conf(run, folder)
    return run.Server([*before, f"{run.BIN}/belayd", "-c", f"{folder}/conf.yaml"], True)


def bare(run, folder):
    return run.Server([f"{run.BENCH}/tls_bare", AT, f"{folder}/example.com.pem", f"{folder}/example.com.key"], True)


def client(run, mode, count):
    r = subprocess.run(run.pinned(1, [f"{run.BENCH}/tls", mode, AT, str(count)]), capture_output=True, text=True)
    if r.returncode:
        raise SystemExit(f"bench: tls {mode}: {r.stderr}")


def handshakes(run, folder):
    for mode in ("full", "resumed"):
        ours, theirs = [], []
        for _ in range(ROUNDS):
            for make, into in ((belayd, ours), (bare, theirs)):
                s = make(run, folder)
                client(run, mode, 200)
                before = s.cpu()
                client(run, mode, HANDSHAKES)
                into.append((s.cpu() - before) / HANDSHAKES * 1e6)
                s.stop()
        print(f"tls {mode:8} handshake {statistics.median(ours):6.1f} CPU-µs with accepting and closing; bare library "
              f"{statistics.median(theirs):6.1f}  (median of {ROUNDS}, {HANDSHAKES} each, TLS 1.3, ECDSA P-256)")


def load(run, mode, count):
    argv = run.pinned(1, [f"{run.BENCH}/load", mode, f"tls:{AT}", str(count), str(run.WINDOW), str(run.PORT_A), str(run.PORT_B)])
    r = subprocess.run(argv, capture_output=True, text=True)
    if r.returncode:
        raise SystemExit(f"bench: load {mode} over TLS: {r.stderr}")


def messages(run, folder):
    for mode, count in (("register", REGISTERS), ("call", CALLS)):
        costs = []
        for _ in range(ROUNDS):
            s = belayd(run, folder)
            load(run, mode, 5000)
            before = s.cpu()
            load(run, mode, count)
            costs.append((s.cpu() - before) / count * 1e6)
            s.stop()
        print(f"tls {mode:8} {statistics.median(costs):7.2f} CPU-µs each  (median of {ROUNDS}, {count} a run)")


def counted(run, folder, mode, count):
    out = f"{folder}/callgrind.tls.{mode}.{count}"
    s = belayd(run, folder, "valgrind", "--tool=callgrind", f"--callgrind-out-file={out}")
    load(run, mode, count)
    s.stop()
    text = subprocess.run(["callgrind_annotate", "--threshold=100", out], capture_output=True, text=True).stdout
    return int(re.search(r"([\d,]+) \(100\.0%\)  PROGRAM TOTALS", text).group(1).replace(",", ""))


def instructions(run, folder):
    for mode in ("register", "call"):
        few, many = counted(run, folder, mode, 2000), counted(run, folder, mode, 4000)
        print(f"tls {mode:8} {(many - few) / 2000:9.0f} instructions each (user space, callgrind)")


def anonymous(pid):
    return int(re.search(r"^RssAnon:\s+(\d+) kB", open(f"/proc/{pid}/status").read(), re.M).group(1)) * 1024


def held(run, count):
    p = subprocess.Popen([f"{run.BENCH}/tls", "idle", AT, str(count)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    if not p.stdout.readline().startswith("done"):
        raise SystemExit("bench: tls idle: not all connections came up")
    return p


def idle(run, folder):
    per = {}
    for name, make in (("belayd", belayd), ("bare", bare)):
        s = make(run, folder)
        clients = [held(run, WARM)]  # what comes with the first is not counted
        before = anonymous(s.p.pid)
        clients.append(held(run, IDLE))
        per[name] = (anonymous(s.p.pid) - before) / IDLE
        for c in clients:
            c.stdin.close()
            c.wait()
        s.stop()
    print(f"tls idle     {per['belayd']:7.0f} octets a flow; bare library {per['bare']:7.0f}; ours {per['belayd'] - per['bare']:6.0f}  "
          f"(resident, the kernel's not counted; {IDLE} accepted flows, TLS 1.3, tickets given)")


def figures(run, folder):
    for f in (handshakes, messages, idle, instructions):
        f(run, folder)
