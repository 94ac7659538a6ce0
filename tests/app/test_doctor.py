"""What the doctor says about doors that stand open, and about what never got an outcome."""

import gc
from pathlib import Path

import pytest

from coread.app.cli.command_read import exit_code
from coread.app.cli.exit_codes import ExitCode
from coread.app.doctor import examine
from coread.app.export import ResultRow
from coread.app.offline import ReadSummary
from coread.app.settings import Settings
from coread.app.web.context import CheckLevel, HealthCheck
from coread.receive.tls import write_self_signed
from tests.peers.ports import free_port


def checks(settings: Settings) -> dict[str, HealthCheck]:
    return {check.name: check for check in examine(settings, server_running=True)}


def test_a_folder_that_others_can_read_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    settings = Settings.model_validate({"folder": tmp_path})
    found = checks(settings)["folder"]
    assert (found.level, found.mend) == (CheckLevel.WARNING, f"chmod 700 {tmp_path}")
    tmp_path.chmod(0o700)
    assert checks(settings)["folder"].level is CheckLevel.OK


def test_passwords_in_clear_on_the_network_are_named(tmp_path: Path) -> None:
    open_to_all = Settings.model_validate({"folder": tmp_path, "http_host": "0.0.0.0"})
    assert "in clear" in checks(open_to_all)["web encryption"].detail
    assert "web encryption" not in checks(Settings.model_validate({"folder": tmp_path}))
    certificate, key = write_self_signed(tmp_path)
    encrypted = open_to_all.model_copy(update={"https_certificate": certificate, "https_key": key})
    assert "web encryption" not in checks(encrypted)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
def test_a_destination_over_tls_is_asked_over_tls(tmp_path: Path) -> None:
    certificate, _ = write_self_signed(tmp_path)
    peer = {"name": "pacs", "address": f"127.0.0.1:{free_port()}", "tls": True}
    settings = Settings.model_validate({"folder": tmp_path, "delivery_tls_ca": certificate, "destinations": [peer]})
    found = checks(settings)["destination pacs"]
    assert found.level is CheckLevel.PROBLEM
    assert "certificates are configured" not in found.detail
    gc.collect()  # pynetdicom leaves the refused TLS socket to the collector: here, and not in the next test


@pytest.mark.parametrize(
    ("outcomes", "code"),
    [
        (("positive", "under way"), ExitCode.FAILED),
        (("negative", "failed"), ExitCode.FAILED),
        (("not_analysed",), ExitCode.NOT_ANALYSED),
        (("negative", "not_analysed"), ExitCode.OK),
        ((), ExitCode.NOT_FOUND),
    ],
)
def test_reading_without_an_outcome_is_no_success(outcomes: tuple[str, ...], code: ExitCode) -> None:
    rows = tuple(ResultRow("1.2", "A1", "chest_xray", "1", outcome, "") for outcome in outcomes)
    assert exit_code(ReadSummary(rows, (), 0)) is code


def test_the_port_for_raw_mr_data_is_looked_at_when_its_door_is_open(tmp_path: Path) -> None:
    from coread.receive.mrd_server import MrdReceiver
    from coread.receive.mrd_settings import MrdSettings
    from coread.store import Store, StoreSettings

    def ports(settings: Settings) -> dict[str, HealthCheck]:
        return {check.name: check for check in examine(settings, server_running=False)}

    assert "MRD port" not in ports(Settings.model_validate({"folder": tmp_path}))
    with (
        Store.open(StoreSettings(tmp_path / "store", durable=False), migrate=True) as store,
        MrdReceiver(MrdSettings(port=0), store) as receiver,
    ):
        settings = Settings.model_validate({"folder": tmp_path, "mrd": {"port": receiver.port}})
        assert ports(settings)["MRD port"].detail.endswith("Coread answers there")
    assert "is free" in ports(settings)["MRD port"].detail
