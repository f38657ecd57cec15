"""Row W1: what is fetched goes to checked public addresses, or to networks that the settings name."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import httpx
import pytest

from config.mail_settings import OutboundSettings
from stores.outbound import LONGEST_ANSWER_BYTES, GuardedTransport, OutboundRefused, resolve

PUBLIC = "93.184.216.34"


class Wire(httpx.AsyncBaseTransport):
    """What would have been sent, and to where."""

    def __init__(self, answer: httpx.Response | None = None, dead: Sequence[str] = ()) -> None:
        self.sent: list[httpx.Request] = []
        self._answer = answer or httpx.Response(200, stream=httpx.ByteStream(b"{}"))
        self._dead = dead

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.sent.append(request)
        if request.url.host in self._dead:
            raise httpx.ConnectError("nobody there")
        return self._answer


def client(wire: Wire, *addresses: str, allowed: tuple[str, ...] = ()) -> httpx.AsyncClient:
    async def found(host: str, port: int) -> Sequence[str]:
        return addresses or await resolve(host, port)

    settings = OutboundSettings(allowed_networks=allowed)
    return httpx.AsyncClient(transport=GuardedTransport(settings, resolve=found, inner=wire))


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.8.8.8", "0.0.0.0", "10.0.0.1", "172.16.5.5", "192.168.1.1", "100.64.0.1",
        "169.254.169.254", "168.63.129.16", "224.0.0.1", "255.255.255.255", "192.0.2.1", "::1", "::",
        "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "ff02::1", "::ffff:127.0.0.1", "::ffff:93.184.216.34",
        "64:ff9b::7f00:1", "2002:7f00:1::", "2001:0:53aa:64c:0:0:80ff:fffe",
    ],
)  # fmt: skip
async def test_w1_an_address_inside_is_never_asked(address: str) -> None:
    wire = Wire()
    async with client(wire, address) as http:
        with pytest.raises(OutboundRefused):
            await http.get("https://login.hospital.example/")
    async with client(wire, PUBLIC, address) as http:
        with pytest.raises(OutboundRefused):
            await http.get("https://login.hospital.example/")
    assert wire.sent == []


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/", "https://0177.0.0.1/", "https://0x7f.1/", "https://2130706433/", "https://127.1/",
        "https://[::1]/", "https://[::ffff:7f00:1]/", "https://localhost/",
    ],
)  # fmt: skip
async def test_w1_other_spellings_of_an_address_inside_are_refused(url: str) -> None:
    wire = Wire()
    async with client(wire) as http:
        with pytest.raises((OutboundRefused, httpx.InvalidURL)):
            await http.get(url)
    assert wire.sent == []


@pytest.mark.parametrize(
    "url",
    [
        "http://login.hospital.example/",
        "ftp://login.hospital.example/",
        "file:///etc/passwd",
        "gopher://login.hospital.example/",
        "https://login.hospital.example:8443/",
        "https://login.hospital.example:22/",
        "https://user:word@login.hospital.example/",
    ],
)
async def test_w1_other_schemes_and_ports_are_refused(url: str) -> None:
    wire = Wire()
    async with client(wire, PUBLIC) as http:
        with pytest.raises((OutboundRefused, httpx.UnsupportedProtocol)):
            await http.get(url)
    assert wire.sent == []


async def test_w1_the_connection_goes_to_the_address_that_was_checked() -> None:
    """Whatever the name says the next time: it is looked up once."""
    wire, looked = Wire(), []

    async def rebinding(host: str, port: int) -> Sequence[str]:
        looked.append(host)
        return [PUBLIC] if len(looked) == 1 else ["127.0.0.1"]

    transport = GuardedTransport(OutboundSettings(), resolve=rebinding, inner=wire)
    async with httpx.AsyncClient(transport=transport) as http:
        await http.get("https://login.hospital.example/keys")
        (sent,) = wire.sent
        assert (sent.url.host, sent.headers["host"]) == (PUBLIC, "login.hospital.example")
        assert sent.extensions["sni_hostname"] == "login.hospital.example"
        with pytest.raises(OutboundRefused):
            await http.get("https://login.hospital.example/keys")
    assert len(wire.sent) == 1


async def test_w1_a_redirect_is_not_followed() -> None:
    wire = Wire(
        httpx.Response(302, headers={"location": "http://169.254.169.254/"}, stream=httpx.ByteStream(b""))
    )
    async with client(wire, PUBLIC) as http:
        assert (await http.get("https://login.hospital.example/")).status_code == 302
    assert len(wire.sent) == 1


async def test_w1_a_named_network_may_be_asked_and_only_that() -> None:
    wire = Wire()
    async with client(wire, "10.1.2.3", allowed=("10.1.2.0/24",)) as http:
        assert (await http.get("http://login.hospital.example:8080/")).status_code == 200
    async with client(wire, "10.1.3.3", allowed=("10.1.2.0/24",)) as http:
        with pytest.raises(OutboundRefused):
            await http.get("https://login.hospital.example/")
    assert [str(sent.url) for sent in wire.sent] == ["http://10.1.2.3:8080/"]


async def test_the_next_address_is_tried_when_one_is_dead() -> None:
    wire = Wire(dead=["93.184.216.35"])
    async with client(wire, "93.184.216.35", PUBLIC) as http:
        assert (await http.get("https://login.hospital.example/")).status_code == 200
    wire = Wire(dead=[PUBLIC])
    async with client(wire, PUBLIC) as http:
        with pytest.raises(httpx.ConnectError):
            await http.get("https://login.hospital.example/")


async def test_w1_an_endless_or_packed_answer_is_cut_off() -> None:
    class Endless(httpx.AsyncByteStream):
        taken = 0

        async def __aiter__(self) -> AsyncIterator[bytes]:
            while True:
                Endless.taken += 65536
                yield b"x" * 65536

    async with client(Wire(httpx.Response(200, stream=Endless())), PUBLIC) as http:
        with pytest.raises(OutboundRefused):
            await http.get("https://login.hospital.example/")
    assert Endless.taken <= LONGEST_ANSWER_BYTES + 2 * 65536
    packed = httpx.Response(200, headers={"content-encoding": "gzip"}, stream=httpx.ByteStream(b""))
    wire = Wire(packed)
    async with client(wire, PUBLIC) as http:
        with pytest.raises(OutboundRefused):
            await http.get("https://login.hospital.example/")
    assert wire.sent[0].headers["accept-encoding"] == "identity"
