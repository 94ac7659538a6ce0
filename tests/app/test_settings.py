"""Settings that would open a door by mistake are refused; what is shown holds no password."""

import os
from pathlib import Path

import pytest

from coread.app.certificates import delivery_context
from coread.app.errors import BadSettings
from coread.app.settings import Settings, load_settings
from coread.receive.tls import write_self_signed


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('dicom_tls_certificate = "c.pem"', "dicom_tls_key"),
        ('https_key = "k.pem"', "https_certificate"),
        ('delivery_tls_key = "k.pem"', "delivery_tls_certificate"),
        ('dicom_tls_client_ca = "ca.pem"', "dicom_tls_client_ca needs"),
        ('[pacs]\naddress = "10.0.0.1"', "host:port"),
        ('[[destinations]]\nname = "a"\naddress = "h:1"\n[[destinations]]\nname = "a"\naddress = "h:2"', "same name"),
    ],
)
def test_half_a_setting_is_refused_and_never_means_in_clear(tmp_path: Path, text: str, complaint: str) -> None:
    file = tmp_path / "coread.toml"
    file.write_text(text)
    with pytest.raises(BadSettings, match=complaint):
        load_settings(file)


def test_the_password_of_the_database_is_not_shown() -> None:
    settings = Settings.model_validate({"database_url": "postgresql+pg8000://coread:s3cret:x@db:5432/coread"})
    assert settings.shown()["database_url"] == "postgresql+pg8000://coread:***@db:5432/coread"
    assert "s3cret" not in str(settings.shown())
    assert Settings.model_validate({}).shown()["database_url"] == ""


def test_a_wrong_setting_does_not_repeat_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COREAD_DATABASE_URL", "postgresql+pg8000://coread:s3cret@db/coread")
    monkeypatch.setenv("COREAD_HTTP_PORT", "many")
    with pytest.raises(BadSettings) as caught:
        load_settings()
    assert "http_port" in str(caught.value)
    assert "s3cret" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert os.environ["COREAD_HTTP_PORT"] == "many"


def test_destinations_are_trusted_by_the_named_authority_only(tmp_path: Path) -> None:
    certificate, key = write_self_signed(tmp_path)
    peer = {"name": "pacs", "address": "h:1", "tls": True}
    given = {"delivery_tls_ca": certificate, "delivery_tls_certificate": certificate, "delivery_tls_key": key}
    context = delivery_context(Settings.model_validate({"destinations": [peer], **given}))
    assert context is not None
    assert [item["serialNumber"] for item in context.get_ca_certs()]
    assert len(context.get_ca_certs()) == 1
    assert delivery_context(Settings.model_validate({})) is None
    with pytest.raises(BadSettings, match="cannot be used"):
        delivery_context(Settings.model_validate({"delivery_tls_ca": tmp_path / "none.pem"}))
