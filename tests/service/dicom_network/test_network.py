"""Who is let in, what is cut off, and what else can come over a network."""

from __future__ import annotations

import random
import shutil
import ssl
import struct
import subprocess
import threading
import time
from io import BytesIO
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pynetdicom.dsutils import decode, encode

from .conftest import Listen, Listening
from .raw_sender import CT, EXPLICIT, VERIFICATION, RawSender, association_request, command, context


def encoded(dataset: Dataset) -> bytes:
    data = encode(dataset, is_implicit_vr=False, is_little_endian=True)
    assert data is not None
    return data


def settled(listening: Listening) -> None:
    """Returns when every association has ended."""
    listening.listener.stop(grace_s=20)


def test_titles_are_checked(listen: Listen) -> None:
    listening = listen(listen_calling_aets="SCANNER,SENDER")
    assert listening.associate(VERIFICATION).is_established
    refused = listening.associate(VERIFICATION, called="SOMEONE")
    assert refused.is_rejected
    assert refused.acceptor.primitive.diagnostic == 7
    with RawSender(listening.listener.address) as sender:
        sender.send(1, association_request(context(1, VERIFICATION, EXPLICIT), calling="STRANGER"))
        assert sender.unit() == (3, bytes([0, 1, 1, 3]))


def test_another_called_title_may_be_allowed(listen: Listen) -> None:
    assert listen(listen_require_called_aet=False).associate(VERIFICATION, called="SOMEONE").is_established


def test_addresses_are_checked(listen: Listen) -> None:
    with RawSender(listen(listen_peers="192.0.2.0/24").listener.address) as sender:
        assert sender.unit()[0] == 0
    assert listen(listen_peers="192.0.2.0/24,127.0.0.0/8").associate(VERIFICATION).is_established


def test_associations_are_bounded(listen: Listen) -> None:
    listening = listen(listen_max_associations=2)
    held = [listening.associate(VERIFICATION) for _ in range(2)]
    assert all(association.is_established for association in held)
    with RawSender(listening.listener.address) as third:
        third.send(1, association_request(context(1, VERIFICATION, EXPLICIT)))
        assert third.unit() == (3, bytes([0, 2, 3, 2]))
    for association in held:
        association.release()


def test_what_was_acknowledged_before_a_cut_is_kept(listen: Listen, slices: list[Dataset]) -> None:
    listening = listen()
    with RawSender(listening.listener.address) as sender:
        sender.associate()
        for number, dataset in enumerate(slices[:3]):
            sender.value(1, 3, command(1, sop_class=CT, sop_instance=dataset.SOPInstanceUID, message_id=number))
            data = encoded(dataset)
            middle = len(data) // 2
            sender.value(1, 0, data[:middle])
            if number == 2:
                break  # and hang up
            sender.value(1, 2, data[middle:])
            kind, body = sender.unit()
            assert kind == 4
            assert decode(BytesIO(body[6:]), True, True).Status == 0
    settled(listening)
    assert len(listening.arrived()) == 2
    assert listening.leftovers() == []
    assert listening.count("associations_total", outcome="lost") == 1


def test_a_command_and_its_data_may_share_a_unit(listen: Listen, slices: list[Dataset]) -> None:
    listening = listen()
    with RawSender(listening.listener.address) as sender:
        sender.associate()
        words = command(1, sop_class=CT, sop_instance=slices[0].SOPInstanceUID)
        parts = [(1, words[:20]), (3, words[20:]), (0, encoded(slices[0])), (2, b"")]
        sender.send(4, b"".join(struct.pack(">IBB", len(data) + 2, 1, control) + data for control, data in parts))
        assert decode(BytesIO(sender.unit()[1][6:]), True, True).Status == 0
        sender.send(5, bytes(4))
        assert sender.unit() == (6, bytes(4))


def test_requests_that_contradict_themselves_are_refused(listen: Listen, slices: list[Dataset]) -> None:
    listening = listen()
    report = "1.2.840.10008.5.1.4.1.1.88.22"
    cases = [
        (CT, "1.2.3.4", 0xA900),  # another instance than the data set's
        (report, slices[0].SOPInstanceUID, 0x0122),  # another class than the context's
    ]
    with RawSender(listening.listener.address) as sender:
        sender.associate()
        for sop_class, instance, status in cases:
            sender.value(1, 3, command(1, sop_class=sop_class, sop_instance=instance))
            sender.value(1, 2, encoded(slices[0]))
            assert decode(BytesIO(sender.unit()[1][6:]), True, True).Status == status
        sender.value(1, 3, command(0x20, sop_class=CT, has_data=False))
        assert decode(BytesIO(sender.unit()[1][6:]), True, True).Status == 0x0211
    assert listening.arrived() == []


@pytest.mark.parametrize(
    ("control", "context_id", "data"),
    [
        (2, 1, b"data that nobody announced"),
        (3, 1, b"no command"),
        (3, 9, command(1, sop_class=CT, sop_instance="1.2")),
        (3, 1, command(1, sop_class=CT, sop_instance="1.2", has_data=False)),
        (1, 1, bytes(20_000)),
    ],
)
def test_what_breaks_the_protocol_is_aborted(listen: Listen, control: int, context_id: int, data: bytes) -> None:
    listening = listen()
    with RawSender(listening.listener.address) as sender:
        sender.associate()
        sender.value(context_id, control, data)
        assert sender.unit()[0] in (7, 0)
    settled(listening)
    assert listening.count("associations_total", outcome="protocol_error") == 1
    assert listening.leftovers() == []


def test_a_silent_connection_is_ended(listen: Listen) -> None:
    with RawSender(listen(listen_idle_seconds=0.2).listener.address) as sender:
        sender.associate()
        assert sender.unit()[0] == 0


def test_a_request_that_drips_is_ended(listen: Listen) -> None:
    """It is never silent for long enough, and must not keep its place all the same."""
    listening = listen(listen_idle_seconds=0.4)
    body = association_request(context(1, CT, EXPLICIT))
    with RawSender(listening.listener.address) as sender:
        for byte in struct.pack(">BxI", 1, len(body)) + body:
            try:
                sender.socket.sendall(bytes([byte]))
            except OSError:
                break
            time.sleep(0.05)
        else:
            pytest.fail("the listener goes on waiting")
    settled(listening)
    assert listening.count("associations_total", outcome="lost") == 1


@pytest.mark.parametrize("seed", range(8))
def test_noise_does_no_harm(listen: Listen, slices: list[Dataset], seed: int) -> None:
    """Bytes of a whole sound association, some of them changed, again and again."""
    listening = listen(listen_idle_seconds=0.3)
    chance = random.Random(seed)
    words = command(1, sop_class=CT, sop_instance=slices[0].SOPInstanceUID)
    units = [(1, association_request(context(1, CT, EXPLICIT)))]
    units += [
        (4, struct.pack(">IBB", len(data) + 2, 1, control) + data)
        for control, data in ((3, words), (2, encoded(slices[0])))
    ]
    whole = b"".join(struct.pack(">BxI", kind, len(body)) + body for kind, body in units)
    for _ in range(12):
        damaged = bytearray(whole)
        for _ in range(chance.randint(1, 4)):
            damaged[chance.randrange(min(len(damaged), 600))] = chance.randrange(256)
        with RawSender(listening.listener.address) as sender:
            sender.socket.sendall(damaged)
            sender.socket.shutdown(1)
            while sender.unit()[0]:
                continue
    assert listening.associate(VERIFICATION).send_c_echo().Status == 0
    assert listening.count("associations_total", outcome="failed") == 0
    assert listening.count("instances_total", code="internal_error") == 0


def test_a_stop_cuts_what_does_not_end(listen: Listen, slices: list[Dataset]) -> None:
    listening = listen()
    association = listening.associate()
    assert association.send_c_store(slices[0]).Status == 0
    listening.listener.stop(grace_s=0.1)
    assert listening.count("associations_open") == 0
    assert len(listening.arrived()) == 1
    assert listening.leftovers() == []


def test_a_stop_waits_for_what_ends_soon(listen: Listen, slices: list[Dataset]) -> None:
    listening = listen()
    association = listening.associate()
    stopping = threading.Thread(target=listening.listener.stop, kwargs={"grace_s": 20})
    stopping.start()
    assert association.send_c_store(slices[0]).Status == 0
    association.release()
    stopping.join()
    assert association.is_released
    assert listening.count("associations_total", outcome="released") == 1


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed, and makes the certificate of this test")
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "cert.pem", folder / "key.pem"
    request = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost"
    subprocess.run(
        [openssl, *request.split(), "-keyout", str(key), "-out", str(certificate)],
        check=True,
        capture_output=True,
    )
    return certificate, key


def test_tls(listen: Listen, slices: list[Dataset], certificate: tuple[Path, Path]) -> None:
    pem, key = certificate
    listening = listen(listen_tls_certificate=pem, listen_tls_key=key, listen_tls_ca=pem)
    trusting = ssl.create_default_context(cafile=str(pem))
    with RawSender(listening.listener.address) as plain:
        plain.send(1, association_request(context(1, CT, EXPLICIT)))
        plain.unit()
    trusting.load_cert_chain(pem, key)
    association = listening.associate(tls_args=(trusting, "localhost"))
    assert association.is_established
    assert association.send_c_store(slices[0]).Status == 0
    association.release()
    settled(listening)
    assert len(listening.arrived()) == 1
    assert listening.count("associations_total", outcome="failed") == 1


def test_a_stop_cuts_what_does_not_end_over_tls_too(listen: Listen, certificate: tuple[Path, Path]) -> None:
    pem, key = certificate
    listening = listen(listen_tls_certificate=pem, listen_tls_key=key)
    trusting = ssl.create_default_context(cafile=str(pem))
    with RawSender(listening.listener.address) as sender, RawSender(listening.listener.address):
        # The second one's handshake never comes.
        sender.socket = trusting.wrap_socket(sender.socket, server_hostname="localhost")
        sender.associate()
        sender.value(1, 3, command(1, sop_class=CT, sop_instance="1.2.3"))
        sender.value(1, 0, bytes(1000))
        listening.listener.stop(grace_s=0.1)
        assert listening.count("associations_open") == 0
    assert listening.leftovers() == []
