"""`ccx drift`, `ccx apply` and `ccx plan --against` with real gateways in this process, and with impostors."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ccx.cli.main import main
from ccx.cli.remote import Remote, RemoteError
from ccx.routing.canonical import digest, table_json
from ccx.routing.decode import TableError
from tests.gateway import Running, running

KEY = "admin-key-0123456789"


def spec(channel: str = "one", *, key: bool = False) -> str:
    admin = "admin: {key: {env: ADMIN}}\n" if key else ""
    return f"""\
version: ccx/v1
{admin}channels:
  one: {{provider: demo}}
  two: {{provider: demo}}
routes:
  - name: all
    when: {{model: "m*"}}
    to: [{channel}]
"""


@dataclass
class Said:
    """What a command said, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        return self.out + self.err


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the spec is; each gateway has a folder of its own, as each has its own copy of the files."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CCX_ADMIN_KEY", raising=False)
    (tmp_path / "ccx.yaml").write_text(spec())
    return tmp_path


Capture = pytest.CaptureFixture[str]


async def ccx(capsys: Capture, *arguments: str) -> Said:
    """A command in a thread, while the gateways go on in this one."""
    capsys.readouterr()
    code = await asyncio.to_thread(main, arguments)
    said = capsys.readouterr()
    assert KEY not in said.out + said.err
    return Said(code, said.out, said.err)


@contextlib.asynccontextmanager
async def gateways(folder: Path, count: int, text: str) -> AsyncIterator[list[Running]]:
    async with contextlib.AsyncExitStack() as stack:
        found = []
        for number in range(count):
            place = folder / f"gateway{number}"
            place.mkdir(parents=True)
            found.append(await stack.enter_async_context(running(text, place, environ={"ADMIN": KEY})))
        yield found


@contextlib.asynccontextmanager
async def impostor(answer: bytes, *, tls: ssl.SSLContext | None = None, hold: bool = False) -> AsyncIterator[str]:
    """A server that gives the same bytes to everybody."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            await writer.drain()
            if hold:
                await reader.read()
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    async with server:
        scheme = "https" if tls else "http"
        yield f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def http(body: bytes, *, status: str = "200 OK", headers: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\n{headers}\r\n".encode() + body


# The admin API


async def test_the_table_comes_as_its_canonical_bytes(folder: Path) -> None:
    async with gateways(folder, 1, spec()) as [gw]:
        live = gw.gateway.live
        answer = await gw.client.get("/admin/table")
        assert answer.content == table_json(live.table)
        assert answer.headers["etag"] == f'"{live.digest}"'
        again = await gw.client.get("/admin/table", headers={"if-none-match": answer.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        table, found = await asyncio.to_thread(Remote(gw.url, key=None).table)
        assert (table, found) == (live.table, digest(live.table))


async def test_the_table_is_behind_the_admin_key(folder: Path) -> None:
    async with gateways(folder, 1, spec(key=True)) as [gw]:
        assert (await gw.client.get("/admin/table")).status_code == 401
        good = {"authorization": f"Bearer {KEY}"}
        assert (await gw.client.get("/admin/table", headers=good)).status_code == 200


async def test_the_status_tells_what_each_worker_serves(folder: Path) -> None:
    async with gateways(folder, 1, spec()) as [gw]:
        said = (await gw.client.get("/status")).json()
        assert said["workers"] == [{"worker": "0", "digest": gw.gateway.live.digest, "last_reload_good": True}]
        gw.rewrite("broken: [")
        assert (await gw.client.post("/admin/reload")).status_code == 409
        assert (await gw.client.get("/status")).json()["workers"][0]["last_reload_good"] is False


# ccx drift


async def test_drift_says_whether_they_are_the_same(folder: Path, capsys: Capture) -> None:
    async with gateways(folder, 1, spec()) as [gw]:
        said = await ccx(capsys, "drift", gw.url)
        assert said.code == 0
        assert "in sync" in said.err
        (folder / "ccx.yaml").write_text(spec("two"))
        said = await ccx(capsys, "drift", gw.url)
        assert said.code == 2
        assert f"drift: {gw.url} serves {gw.gateway.live.digest[:12]}, working tree says" in said.err
        assert "one" in said.out
        assert "two" in said.out
        said = await ccx(capsys, "drift", gw.url, "-o", "json")
        assert json.loads(said.out)["old"]["digest"] == gw.gateway.live.digest


async def test_drift_from_a_revision(folder: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    for arguments in (["init", "-q"], ["add", "ccx.yaml"], ["commit", "-qm", "one"]):
        who = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
        subprocess.run(["git", *who, *arguments], check=True)
    (folder / "ccx.yaml").write_text(spec("two"))
    async with gateways(folder, 1, spec()) as [gw]:
        assert (await ccx(capsys, "drift", gw.url, "HEAD")).code == 0
        assert (await ccx(capsys, "drift", gw.url)).code == 2
        said = await ccx(capsys, "plan", "--against", gw.url, "HEAD", "--detailed-exitcode")
        assert said.code == 0
        said = await ccx(capsys, "plan", "--against", gw.url, "--detailed-exitcode")
        assert said.code == 2
        assert "two" in said.out
        assert (await ccx(capsys, "plan", "--against", gw.url, "HEAD..HEAD")).code == 64


async def test_the_admin_key_comes_from_the_environment_only(
    folder: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "ccx.yaml").write_text(spec(key=True))
    async with gateways(folder, 1, spec(key=True)) as [gw]:
        said = await ccx(capsys, "drift", gw.url)
        assert (said.code, "needs the admin key: set CCX_ADMIN_KEY" in said.err) == (1, True)
        monkeypatch.setenv("CCX_ADMIN_KEY", "wrong")
        said = await ccx(capsys, "drift", gw.url)
        assert (said.code, "refuses this admin key" in said.err, "wrong" in said.text) == (1, True, False)
        monkeypatch.setenv("OURS", KEY)
        assert (await ccx(capsys, "drift", gw.url, "--admin-key-env", "OURS")).code == 0
        said = await ccx(capsys, "drift", gw.url, "--admin-key-env", "NOBODYS")
        assert (said.code, "'NOBODYS' is not set" in said.err) == (64, True)
        monkeypatch.setenv("CCX_ADMIN_KEY", f"{KEY}\nx-evil: 1")
        said = await ccx(capsys, "drift", gw.url)
        assert (said.code, "control character" in said.err) == (1, True)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("gateway:3000", "is not the address of a gateway"),
        ("ftp://gateway", "is not the address of a gateway"),
        ("http://", "is not the address of a gateway"),
        ("http://a:b@gateway", "no user name and no password"),
        ("http://gateway:port", "is not the address of a gateway"),
        ("http://[::1", "is not the address of a gateway"),
        ("http://gateway?x=1", "is not the address of a gateway"),
    ],
)
async def test_what_is_no_address_is_a_mistake(folder: Path, capsys: Capture, url: str, said: str) -> None:
    found = await ccx(capsys, "drift", url)
    assert (found.code, said in found.err) == (64, True)
    assert "a:b" not in found.text


async def test_nobody_there(folder: Path, capsys: Capture) -> None:
    async with impostor(b"") as url:
        pass
    said = await ccx(capsys, "drift", url)
    assert (said.code, f"{url} cannot be reached" in said.err) == (1, True)


TABLE = b'{"channels":[],"routes":[],"version":"ccx/v1"}'
ETAG = 'etag: "e8ac2f0c21c3a7f3b6a3e52f3f7d5b6a"\r\n'


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (http(TABLE), "does not have the digest that came with it"),
        (http(TABLE, headers=ETAG), "does not have the digest that came with it"),
        (http(b"", status="301 Moved", headers="location: http://elsewhere/\r\n"), "redirects elsewhere"),
        (http(b"", status="404 Not Found"), "has no /admin/table: it is no ccx gateway, or an older one"),
        (http(b"", status="403 Forbidden"), "to callers on its own machine only"),
        (http(b"\x1b[2J", status="500 \x1b[2J"), "answers /admin/table with 500"),
        (b"SSH-2.0-OpenSSH_9\r\n", "does not speak HTTP"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\nshort", "cut off"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nab", "does not speak HTTP"),
        (b"", "does not speak HTTP|cannot be reached"),
    ],
)
async def test_an_impostor_is_an_error_and_never_a_table(
    folder: Path, capsys: Capture, answer: bytes, said: str
) -> None:
    async with impostor(answer) as url:
        found = await ccx(capsys, "drift", url)
    assert found.code == 1
    assert any(part in found.err for part in said.split("|")), found.err
    assert "\x1b" not in found.text


async def test_a_gateway_of_a_newer_ccx_is_said(folder: Path) -> None:
    import hashlib

    data = b'{"channels":[],"moon":1,"routes":[],"version":"ccx/v1"}'
    tag = f'etag: "{hashlib.sha256(data).hexdigest()}"\r\n'
    async with impostor(http(data, headers=tag)) as url:
        with pytest.raises(TableError, match="the field 'moon' is not known here"):
            await asyncio.to_thread(Remote(url, key=None).table)


async def test_an_answer_has_bounds_in_time_and_size(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with impostor(b"", hold=True) as url:
        with pytest.raises(RemoteError, match=r"did not answer within 0\.05 s"):
            await asyncio.to_thread(Remote(url, key=None, timeout=0.05).table)
    async with impostor(b"HTTP/1.1 200 OK\r\n\r\nx", hold=True) as url:
        with pytest.raises(RemoteError, match=r"did not answer within 0\.05 s"):
            await asyncio.to_thread(Remote(url, key=None, timeout=0.05).table)
    monkeypatch.setattr("ccx.cli.remote.MAX_TABLE", 1024 * 1024)
    async with impostor(http(b"x" * 1024 * 1024 * 2)) as url:
        with pytest.raises(RemoteError, match="more than 1 MiB"):
            await asyncio.to_thread(Remote(url, key=None).table)


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{}", b'{"config":{"digest":1}}', b'{"config":[]}', b"[" * 100_000, b"\xff",
     b'{"config":{"digest":"a","generation":1,"source":"file","last_reload":{"problems":[1]}}}',
     b'{"workers":{},"config":{"digest":"a","generation":"x","source":"file","last_reload":{"problems":[]}}}'],
)  # fmt: skip
async def test_a_status_that_is_none_is_said(folder: Path, body: bytes) -> None:
    async with impostor(http(body)) as url:
        remote = Remote(url, key=None)
        for ask in (remote.serving, remote.reload):
            with pytest.raises(RemoteError, match=r"as a ccx gateway does|not that of a ccx gateway"):
                await asyncio.to_thread(ask)


async def test_tls_is_checked(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate, key = own_certificate(tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    async with impostor(http(TABLE), tls=tls) as url:
        with pytest.raises(RemoteError, match="TLS failed: self-signed certificate"):
            await asyncio.to_thread(Remote(url, key=None).table)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        with pytest.raises(RemoteError, match="does not have the digest"):
            await asyncio.to_thread(Remote(url, key=None).table)


def own_certificate(folder: Path) -> tuple[Path, Path]:
    """For 127.0.0.1, signed by itself."""
    import datetime
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate, secret = folder / "cert.pem", folder / "key.pem"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    form = serialization.PrivateFormat.PKCS8
    secret.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))
    return certificate, secret


# ccx apply


async def saved(capsys: Capture, folder: Path, before: str, after: str) -> None:
    """plan.json, and the spec as it is after."""
    (folder / "before.yaml").write_text(before)
    (folder / "ccx.yaml").write_text(after)
    said = await ccx(capsys, "plan", "before.yaml", "ccx.yaml", "-o", "plan.json")
    assert said.code == 0, said.err


def apply(gateways: list[Running], *more: str) -> list[str]:
    first, *rest = (gw.url for gw in gateways)
    others = ["--replicas", ",".join(rest)] if rest else []
    return ["apply", "--plan", "plan.json", "--to", first, *others, *more]


async def test_every_replica_comes_to_the_new_table(folder: Path, capsys: Capture) -> None:
    await saved(capsys, folder, spec(), spec("two"))
    async with gateways(folder, 3, spec()) as those:
        for gw in those:
            gw.rewrite(spec("two"))
        said = await ccx(capsys, *apply(those))
        assert said.code == 0, said.err
        assert "3/3 replicas serve" in said.out
        assert "0 of 3 replicas serve it already" in said.err
        assert [gw.gateway.live.number for gw in those] == [2, 2, 2]
        again = await ccx(capsys, *apply(those))
        assert (again.code, "3 of 3 replicas serve it already" in again.err) == (0, True)


async def test_a_replica_whose_files_come_late_is_waited_for(
    folder: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ccx.cli.rollout.POLL", 0.02)
    monkeypatch.setattr("ccx.cli.rollout.AGAIN", 0.05)
    await saved(capsys, folder, spec(), spec("two"))
    async with gateways(folder, 2, spec()) as those:
        those[0].rewrite(spec("two"))

        async def later() -> None:
            while those[0].gateway.live.number < 2:
                await asyncio.sleep(0.005)
            those[1].rewrite(spec("two"))

        task = asyncio.create_task(later())
        said = await ccx(capsys, *apply(those, "--wait", "10s"))
        await task
        assert said.code == 0, said.err


async def test_those_that_lag_are_named_with_their_errors(folder: Path, capsys: Capture) -> None:
    await saved(capsys, folder, spec(), spec("two"))
    async with gateways(folder, 3, spec()) as those:
        those[0].rewrite(spec("two"))
        those[1].rewrite("broken: [")
        said = await ccx(capsys, *apply(those, "--wait", "100ms"))
        assert said.code == 1
        assert "after 100ms, 1/3 replicas serve" in said.err
        [broken] = [shown for shown in said.err.splitlines() if those[1].url in shown]
        assert broken.startswith(f"  {those[1].url} serves {those[1].gateway.live.digest[:12]}: ")
        assert "CCX" in broken
        assert f"{those[2].url} serves {those[2].gateway.live.digest[:12]}: its files have not changed yet" in said.err
        assert those[0].url not in said.err


async def test_a_gateway_that_moved_is_not_touched(folder: Path, capsys: Capture) -> None:
    await saved(capsys, folder, spec(), spec("two"))
    other = spec().replace('"m*"', '"n*"')
    async with gateways(folder, 1, other) as [gw], gateways(folder / "more", 1, spec()) as [fine]:
        gw.rewrite(spec("two"))
        said = await ccx(capsys, *apply([fine, gw]))
        assert said.code == 2
        assert f"not applied: {gw.url} serves table" in said.err
        assert "two" in said.out  # what leads from what runs to the spec
        assert [one.gateway.live.number for one in (gw, fine)] == [1, 1]


async def test_a_spec_that_moved_is_not_applied(folder: Path, capsys: Capture) -> None:
    await saved(capsys, folder, spec(), spec("two"))
    (folder / "ccx.yaml").write_text(spec("two").replace('"m*"', '"n*"'))
    async with gateways(folder, 1, spec()) as [gw]:
        said = await ccx(capsys, *apply([gw]))
        assert (said.code, "not applied: the spec is table" in said.err) == (2, True)
        assert gw.gateway.live.number == 1


async def test_a_replica_that_cannot_be_asked_stops_everything(folder: Path, capsys: Capture) -> None:
    await saved(capsys, folder, spec(), spec("two"))
    async with impostor(b"") as url:
        pass
    async with gateways(folder, 1, spec()) as [gw]:
        gw.rewrite(spec("two"))
        said = await ccx(capsys, *apply([gw], "--replicas", url))
        assert (said.code, "nothing was applied" in said.err, f"{url} cannot be reached" in said.err) == (1, True, True)
        assert gw.gateway.live.number == 1


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        (None, 64, "cannot read 'plan.json'"),
        ("{}", 1, "this is not a saved plan"),
        ("changed", 1, "the plan was changed after it was made"),
        ("part", 1, "looked only at requests within"),
    ],
)
async def test_a_plan_that_approves_nothing_is_not_applied(
    folder: Path, capsys: Capture, text: str | None, code: int, said: str
) -> None:
    plan = folder / "plan.json"
    await saved(capsys, folder, spec(), spec("two"))
    match text:
        case None:
            plan.unlink()
        case "changed":
            plan.write_text(plan.read_text().replace('"no_op": false', '"no_op": true'))
        case "part":
            await ccx(capsys, "plan", "before.yaml", "ccx.yaml", "-o", "plan.json", "--within", "model=m1")
        case _:
            plan.write_text(text)
    async with gateways(folder, 1, spec()) as [gw]:
        found = await ccx(capsys, *apply([gw]))
        assert (found.code, said in found.err) == (code, True), found.err
        assert gw.gateway.live.number == 1


# A canary

TRIED = "server: {canary: {share: 50%, for: 10m}}\n"


def tried(channel: str = "two", *, lasting: str = "10m") -> str:
    return spec(channel) + TRIED.replace("10m", lasting)


async def test_apply_says_that_the_table_is_tried_first(folder: Path, capsys: Capture) -> None:
    await saved(capsys, folder, spec(), tried())
    async with gateways(folder, 2, spec()) as those:
        for gw in those:
            gw.rewrite(tried())
        said = await ccx(capsys, *apply(those))  # far less than ten minutes
        assert said.code == 0, said.err
        digest = those[0].gateway.newest.digest
        assert f"0/2 replicas serve {digest[:12]}; the others try it first:" in said.out
        assert f"  {those[1].url}: canary {digest[:12]} at 50 % since 20" in said.out
        assert f"ccx canary promote|abort --to {those[0].url}" in said.err
        assert {gw.gateway.live.number for gw in those} == {1}
        said = await ccx(capsys, "canary", "promote", "--to", those[0].url, "--replicas", those[1].url)
        assert (said.code, said.out.count("no canary")) == (0, 2)
        again = await ccx(capsys, *apply(those))
        assert (again.code, "2 of 2 replicas serve it already" in again.err) == (0, True)


async def test_apply_waits_for_a_canary_that_ends_in_time(folder: Path, capsys: Capture) -> None:
    await saved(capsys, folder, spec(), tried(lasting="1s"))
    async with gateways(folder, 1, spec()) as [gw]:
        gw.rewrite(tried(lasting="1s"))
        said = await ccx(capsys, *apply([gw]))
        assert (said.code, "1/1 replicas serve" in said.out) == (0, True), said.err
        assert gw.gateway.canary is None


async def test_apply_ends_where_the_table_is_withdrawn(folder: Path, capsys: Capture) -> None:
    await saved(capsys, folder, spec(), tried())
    async with gateways(folder, 1, spec()) as [gw]:
        gw.rewrite(tried())

        async def abort() -> None:
            while gw.gateway.canary is None:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.1)
            await gw.client.post("/admin/canary/abort", json={"reason": "no"})

        aborting = asyncio.create_task(abort())
        said = await ccx(capsys, *apply([gw], "--wait", "20m"))
        await aborting
        assert said.code == 1
        assert "ccx: 0/1 replicas serve" in said.err
        assert "was withdrawn: an operator's order: no (server.canary)" in said.err


async def test_drift_tells_of_a_canary(folder: Path, capsys: Capture) -> None:
    (folder / "ccx.yaml").write_text(tried())
    async with gateways(folder, 1, spec()) as [gw]:
        gw.rewrite(tried())
        assert (await gw.client.post("/admin/reload")).json()["result"] == "canary"
        said = await ccx(capsys, "drift", gw.url)
        new = gw.gateway.newest.digest[:12]
        assert said.code == 2
        assert f"note: canary {new} at 50 % since" in said.err
        assert "ccx: on its way, 50 % until 20" in said.err
        (folder / "ccx.yaml").write_text(spec())
        said = await ccx(capsys, "drift", gw.url)
        assert (said.code, f"note: canary {new}" in said.err, "in sync" in said.err) == (0, True, True)


async def test_the_canary_command(folder: Path, capsys: Capture) -> None:
    async with gateways(folder, 1, spec()) as [gw]:
        said = await ccx(capsys, "canary", "--to", gw.url)
        assert (said.code, said.out) == (0, f"{gw.url}  serves {gw.gateway.live.digest[:12]}, no canary\n")
        said = await ccx(capsys, "canary", "promote", "--to", gw.url)
        assert (said.code, "No table is being tried." in said.err) == (1, True)
        gw.rewrite(tried())
        await gw.client.post("/admin/reload")
        ask = {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}
        for n in range(8):
            await gw.client.post("/v1/messages", json=ask, headers={"x-ccx-session": f"s{n}"})
        counts = gw.gateway.canary.counts() if gw.gateway.canary is not None else {}
        said = await ccx(capsys, "canary", "status", "--to", gw.url)
        head, active, canary = said.out.splitlines()
        assert head.startswith(f"{gw.url}  canary {gw.gateway.newest.digest[:12]} at 50 % since ")
        assert active == f"  active {gw.gateway.live.digest[:12]}  {counts['active'][0]} requests, 0 failed"
        assert canary.endswith(f"  {8 - counts['active'][0]} requests, 0 failed")
        said = await ccx(capsys, "canary", "abort", "--to", gw.url, "--digest", "0000")
        assert (said.code, "not 0000" in said.err) == (1, True)
        said = await ccx(capsys, "canary", "abort", "--to", gw.url, "--reason", "x", "--replicas", "http://127.0.0.1:1")
        assert (said.code, "no canary" in said.out, "cannot be reached" in said.err) == (1, True, True)
        assert (await ccx(capsys, "canary", "close", "--to", gw.url)).code == 64
        assert (await ccx(capsys, "canary", "promote")).code == 64
    for body in (b"{}", b'{"digest":"a","canary":{}}', b'{"digest":"a","canary":{"share":"x"}}', b"[]"):
        async with impostor(http(body)) as url:
            said = await ccx(capsys, "canary", "--to", url)
            assert (said.code, "as a ccx gateway does" in said.err) == (1, True)
