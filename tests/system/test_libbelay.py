"""libbelay as those use it who build a phone: installed, found by pkg-config, linked both ways, against real nodes."""
import os
import re
import subprocess

import pytest

from belay import BIN, DOMAIN, ROOT, Process, need, password

BUILD = BIN.parent
PHONE = ROOT / "examples/phone.c"


def sh(*argv, **kw):
    done = subprocess.run([str(a) for a in argv], capture_output=True, text=True, **kw)
    assert done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    prefix = tmp_path_factory.mktemp("prefix")
    sh("cmake", "--install", BUILD, "--prefix", prefix)
    return prefix


def libdir(prefix):
    return next(prefix.rglob("belay.pc")).parents[1]


def pc(prefix):
    return {**os.environ, "PKG_CONFIG_PATH": str(libdir(prefix) / "pkgconfig")}


def pkg_config(prefix, *args):
    return sh("pkg-config", *args, "belay", env=pc(prefix)).split()


def exported(path, *args):
    """Defined names that others may link to."""
    names = set()
    for line in sh("nm", "-g", "--defined-only", *args, path).splitlines():
        cells = line.split()
        if len(cells) == 3:
            names.add(cells[2])
    return names


def declared(prefix):
    text = (prefix / "include/belay/belay.h").read_text()
    return set(re.findall(r"\b(belay_\w+)\(", re.sub(r"/\*.*?\*/", "", text, flags=re.S)))


def test_what_is_installed(installed):
    for path in ("bin/belay", "bin/belayd", "include/belay/belay.h"):
        assert (installed / path).exists(), path
    for name in ("libbelay.a", "libbelay.so"):
        assert (libdir(installed) / name).exists(), name


def test_exports_what_the_header_declares_and_nothing_else(installed):
    want = declared(installed)
    assert "belay_call_place" in want and len(want) > 30
    assert exported(libdir(installed) / "libbelay.so", "-D") == want
    assert exported(libdir(installed) / "libbelay.a") == want


@pytest.mark.parametrize("compiler", [("cc", "-std=c99"), ("cc", "-std=c17"), ("c++", "-std=c++11"), ("c++", "-std=c++17")],
                         ids=lambda c: c[1])
def test_header_compiles(installed, tmp_path, compiler):
    source = tmp_path / ("use.cc" if compiler[0] == "c++" else "use.c")
    source.write_text("""#include <belay/belay.h>
static const struct belay_content none = BELAY_CONTENT(NULL, NULL, 0);
int main(void) { struct belay_options o; belay_options_init(&o, sizeof o); return none.body_size != 0; }
""")
    sh(need(compiler[0]), compiler[1], "-pedantic", "-Wall", "-Wextra", "-Werror", "-fsyntax-only",
       *pkg_config(installed, "--cflags"), source)


def build_phone(installed, tmp_path, how):
    out = tmp_path / f"phone-{how}"
    flags = ["-std=c99", "-D_POSIX_C_SOURCE=200809L", "-Wall", "-Wextra", "-Werror", *pkg_config(installed, "--cflags")]
    if how == "shared":
        libs = [*pkg_config(installed, "--libs"), f"-Wl,-rpath,{libdir(installed)}"]
    else:
        # the archive of ours, the shared libraries of others: some of those come without archives
        others = [name.split()[0] for name in sh("pkg-config", "--print-requires-private", "belay", env=pc(installed)).splitlines()]
        libs = [f"-L{libdir(installed)}", "-l:libbelay.a", "-pthread", *sh("pkg-config", "--libs", *others).split()]
    sh(need("cc"), *flags, PHONE, "-o", out, *libs)
    return out


@pytest.mark.parametrize("how", ["shared", "static"])
def test_example_phone_calls_and_answers(lab, installed, tmp_path, transport, how):
    lab.cluster(transport=transport)
    phone = build_phone(installed, tmp_path, how)
    maps = [m.removeprefix("--map=") for m in lab.maps()]

    def start(user, to, host):
        return lab.start([phone, f"sip:{user}@{DOMAIN}", password(user), to, *maps], name=user, kind=Process,
                         env={"LOCAL": lab.ip(host)})

    bob = start("bob", "-", 202)
    bob.expect("^registered", timeout=20)
    joe = start("joe", f"sip:bob@{DOMAIN}", 201)
    assert joe.finish() == 0
    assert any(line.startswith("established") for line in joe.lines)
    bob.expect(f"^incoming INVITE 0 sip:joe@{DOMAIN}$")
    bob.expect("^established")
    bob.expect("^ended - 200")
    bob.signal(15)
    assert bob.finish() == 0


def test_example_phone_names_what_is_wrong(lab, installed, tmp_path):
    phone = build_phone(installed, tmp_path, "shared")
    rc, said = lab.run([phone, "sip:joe@example.com", "x", "-", "edge.example.com:5060"])
    assert rc == 1 and "HOST=TRANSPORT:ADDRESS:PORT" in said and "edge.example.com:5060" in said
    rc, said = lab.run([phone, "joe", "x", "-"])
    assert rc == 1 and "sip:user@domain" in said
