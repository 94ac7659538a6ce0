"""The reactor of an association takes no answer that somebody waits for."""

import threading
import time

from coread.deliver.checkpoint import Checkpoint


class Reactor(threading.Thread):
    """Passes the checkpoint again and again, and is slow between passing it and taking what there is."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.checkpoint = Checkpoint(self)
        self.ending = False
        self.taking = False

    def run(self) -> None:
        while not self.ending:
            self.checkpoint.wait()
            self.taking = True
            time.sleep(0.003)
            self.taking = False


def test_after_clear_the_reactor_takes_nothing() -> None:
    reactor = Reactor()
    reactor.start()
    for _ in range(100):
        reactor.checkpoint.clear()
        assert not reactor.taking
        time.sleep(0.0005)
        assert not reactor.taking
        reactor.checkpoint.set()
    reactor.ending = True
    reactor.join(5)
    assert not reactor.is_alive()


def test_clear_waits_for_no_reactor_that_has_ended() -> None:
    reactor = Reactor()
    reactor.ending = True
    reactor.start()
    reactor.join(5)
    reactor.checkpoint.clear()
    assert not reactor.checkpoint.is_set()


def test_pynetdicom_still_has_the_checkpoint_that_is_replaced() -> None:
    from pynetdicom import AE
    from pynetdicom.association import Association

    made = Association(AE(), "requestor")
    assert isinstance(made._reactor_checkpoint, threading.Event)
