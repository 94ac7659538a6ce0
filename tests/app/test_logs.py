"""What the logs keep: where and what kind, never a message that may name a patient."""

import logging
from pathlib import Path

import pytest

from coread.app.logs import PrivateFormatter, set_up_logging


def test_the_message_of_an_exception_stays_out_of_the_log(tmp_path: Path) -> None:
    before = logging.getLogger().handlers[:]
    library = logging.getLogger("uvicorn")
    # As uvicorn's own configuration leaves it: a handler that writes messages as they are, and nothing handed on.
    library.addHandler(logging.NullHandler())
    library.propagate = False
    try:
        set_up_logging(tmp_path, process="server")
        try:
            try:
                raise ValueError("Doe^Jane")
            except ValueError as problem:
                raise RuntimeError("born 19700101") from problem
        except RuntimeError:
            logging.getLogger("uvicorn.error").exception("Exception in ASGI application")
        for handler in logging.getLogger().handlers:
            handler.close()
        text = (tmp_path / "logs" / "server.log").read_text(encoding="utf-8")
    finally:
        logging.basicConfig(handlers=before or [logging.NullHandler()], force=True)
    assert library.handlers == []
    assert "RuntimeError" in text
    assert "ValueError" in text
    assert "test_logs.py" in text
    assert "Jane" not in text
    assert "1970" not in text


def test_a_log_line_without_an_exception_is_as_it_was(caplog: pytest.LogCaptureFixture) -> None:
    record = logging.LogRecord("coread", logging.INFO, "", 1, "%d studies", (3,), None)
    assert PrivateFormatter("%(message)s").format(record) == "3 studies"
    assert PrivateFormatter().formatException((None, None, None)) == ""
    assert not caplog.records
