"""What the server wires: commitment reports on a port of their own, the allow-list, TLS for the receivers."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from coread.app.pipeline import pipeline_of
from coread.app.serve import await_receivers, delivery_worker, free_port, mrd_plans, receiver_plans, with_ports
from coread.app.settings import Settings
from coread.deliver.association import echo
from coread.deliver.peer import Peer
from coread.store import Store, StoreSettings


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(StoreSettings(tmp_path / "store", durable=False), migrate=True) as opened:
        yield opened


@pytest.mark.peer
def test_commitment_reports_are_awaited_on_the_port_of_the_settings(store: Store) -> None:
    port = free_port("127.0.0.1")
    peer = {"name": "pacs", "address": "127.0.0.1:1", "ae_title": "PACS", "storage_commitment": True}
    settings = Settings.model_validate({"folder": store.folder, "commitment_port": port, "destinations": [peer]})
    worker = delivery_worker(pipeline_of(store, settings))
    worker.start()
    try:
        echo(Peer("127.0.0.1", port, "COREAD", "PACS", 5.0))
    finally:
        assert worker.stop()


def test_receivers_are_told_who_may_send_and_how_to_encrypt(tmp_path: Path) -> None:
    peer = {"ae_title": "*", "network": "10.0.0.0/8", "commitment_host": "10.0.0.5", "commitment_port": 104}
    given = {"folder": tmp_path, "peers": [peer], "receiver_processes": 2, "dicom_tls_certificate": "c.pem"}
    plans = receiver_plans(Settings.model_validate({**given, "dicom_tls_key": "k.pem", "dicom_tls_client_ca": "a.pem"}))
    assert [plan.name for plan in plans] == ["receiver 1", "receiver 2"]
    told = plans[0].standard_input
    json.loads(told)
    for word in ("10.0.0.0/8", "10.0.0.5", "c.pem", "k.pem", "a.pem"):
        assert word in told
    assert not any("pem" in word for word in plans[0].command)


def test_the_pages_come_up_after_the_dicom_port(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        given = {"folder": tmp_path, "dicom_host": "0.0.0.0", "dicom_port": port}
        assert await_receivers(Settings.model_validate(given), 5)
    assert not await_receivers(Settings.model_validate(given | {"dicom_host": "127.0.0.1"}), 0.1)


def test_the_door_for_raw_data_is_closed_unless_it_is_set(tmp_path: Path) -> None:
    from coread.receive.mrd_process import from_json

    assert mrd_plans(Settings.model_validate({"folder": tmp_path})) == []
    assert mrd_plans(Settings.model_validate({"folder": tmp_path, "mrd": {"enabled": False}})) == []
    given = {"port": 0, "networks": ["10.1.0.0/16"], "max_stream_gb": 2, "idle_seconds": 60}
    settings = with_ports(Settings.model_validate({"folder": tmp_path, "mrd": given, "durable": False}))
    assert settings.mrd is not None
    assert settings.mrd.port > 0
    (plan,) = mrd_plans(settings)
    told = from_json(plan.standard_input)
    assert (told.receive.port, told.receive.networks) == (settings.mrd.port, ("10.1.0.0/16",))
    assert (told.receive.max_stream_bytes, told.receive.durable) == (2_000_000_000, False)
    with pytest.raises(ValueError, match="nowhere"):
        Settings.model_validate({"mrd": {"networks": ["nowhere"]}})
