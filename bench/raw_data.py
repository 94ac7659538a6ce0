"""Raw MR data: reading ISMRMRD against the official library, and what the MRD door takes, on one machine in one run.

python bench/raw_data.py          (prints processor seconds, so that a loaded machine tells the same)
python bench/raw_data.py checks   (how often the checks drop what is good, find a spike, and what a shift looks like)
"""

import socket
import statistics
import struct
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import ismrmrd as official
import numpy as np

from coread.domain.geometry import Geometry, affine_of
from coread.domain.kspace import KSpace, RawHeader
from coread.imaging.errors import ImagingRefused
from coread.imaging.mr.checks import checked
from coread.imaging.mr.files import ismrmrd, raw_object
from coread.imaging.mr.files.arrangement import Lines
from coread.imaging.mr.files.ismrmrd_writing import acquisitions
from coread.imaging.mr.files.repeats import Repeats
from coread.imaging.mr.fourier import to_samples
from coread.imaging.mr.masks import MaskKind, MaskPlan, sampling_mask
from coread.imaging.mr.simulate import Scanner, simulated
from coread.phantoms.brain_mr import KINDS, BrainRecipe, brain_slice
from coread.phantoms.mr_raw import RawTruth, make
from coread.phantoms.reference.scan import Setup
from coread.receive.mrd_server import MrdReceiver
from coread.receive.mrd_settings import MrdSettings
from coread.store import Store, StoreSettings

ROUNDS = 3


def main() -> None:
    truth = RawTruth(matrix=320, slices=24, coils=16, acceleration=3, images=False, dicom=False)
    kspace = make(truth, Setup()).kspace
    if kspace is None:
        raise SystemExit("the phantom has no raw data")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / "a.h5"
        ismrmrd.write(path, kspace)
        size = path.stat().st_size / 1e6
        ours = measure(lambda: ismrmrd.read(path))
        theirs = measure(lambda: official_read(path, kspace.samples.shape))
        wrap = measure(lambda: raw_object.write_wrapped(path, folder / "a.dcm"))
        print(
            f"{size:.0f} MB, {int(kspace.mask.sum())} lines of 16 coils; median of {ROUNDS} rounds, processor seconds"
        )
        print(f"read with digest, geometry, mask        {ours:6.2f} s   {size / ours:6.0f} MB/s")
        print(f"official library, samples only          {theirs:6.2f} s   {theirs / ours:6.2f} x ours")
        print(f"wrapped as a DICOM object               {wrap:6.2f} s   {size / wrap:6.0f} MB/s")
        stream = b"".join(struct.pack("<H", 1008) + one.head.tobytes() + np.ascontiguousarray(one.samples).tobytes()
                          for one in acquisitions(kspace, "repetition"))  # fmt: skip
        with official.Dataset(str(path), "dataset", mode="r") as file:
            xml = file.read_xml_header()
        streamed(folder, struct.pack("<HI", 3, len(xml)) + xml + stream + struct.pack("<H", 4))


def measure(work: Callable[[], object]) -> float:
    times = []
    for _ in range(ROUNDS):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return statistics.median(times)


def official_read(path: Path, shape: tuple[int, ...]) -> None:
    samples = np.zeros(shape, np.complex64)
    with official.File(str(path), "r") as file:
        for one in file["dataset"].acquisitions:
            if not one.is_flag_set(official.ACQ_IS_NOISE_MEASUREMENT):
                samples[0, one.idx.slice, :, 0, one.idx.kspace_encode_step_1] = one.data


def streamed(folder: Path, stream: bytes) -> None:
    """Send one stream to a durable receiver; wall seconds from the first byte to the answer."""
    with (
        Store.open(StoreSettings(folder=folder / "store"), migrate=True) as store,
        MrdReceiver(MrdSettings(port=0), store) as receiver,
        socket.create_connection(("127.0.0.1", receiver.port)) as peer,
    ):
        start, used = time.perf_counter(), time.process_time()
        sender = threading.Thread(target=peer.sendall, args=(stream,))
        sender.start()
        answer = b""
        while piece := peer.recv(4096):
            answer += piece
        sender.join()
        seconds, used = time.perf_counter() - start, time.process_time() - used
        if b"stored as Raw Data object" not in answer:
            raise SystemExit(f"the stream was not kept: {answer[:200]!r}")
    rate = len(stream) / 1e6 / seconds
    print(f"MRD stream to kept object, durable      {seconds:6.2f} s   {rate:6.0f} MB/s (wall; {used:.2f} s CPU)")


def checks() -> None:
    """Simulated heads of 256 x 256: false alarms, spikes found, disagreement of two averages by the shift between."""
    place = Geometry((1, 256, 256), affine_of(np.array([[0, 0, 1, 0], [0, 1, 0, 0], [1, 0, 0, 0]])), "1.2")
    heads = [(seed, kind) for seed in range(6) for kind in (*KINDS[:2], "")]
    count = alarms = spikes = found = refused = 0
    for seed, kind in heads:
        head = brain_slice(BrainRecipe(seed=seed, tumour=kind)).dataset.pixel_array.astype(np.float32)
        for coils, snr in ((c, s) for c in (1, 4, 12) for s in (10, 40, 1000)):
            samples = simulated(head, Scanner(coils=coils, signal_to_noise=snr), seed).samples
            for acceleration in (1, 4, 8):
                lines = np.ones(256, np.bool_)
                if acceleration > 1:
                    lines = sampling_mask(MaskPlan(MaskKind.EQUISPACED, acceleration), (256, 256), seed)[:, 0]
                kept = (samples * lines[:, None])[None, None, :, None]
                good = KSpace(kept, lines[None, None, None], place, RawHeader())
                done = checked(good)
                count, alarms = count + 1, alarms + bool(done.dropped_coils or done.dropped_lines)
                random = np.random.default_rng(count)
                line, sample = int(random.choice(np.flatnonzero(lines))), int(random.integers(256))
                kept[0, 0, :, 0, line, sample] += 0.1 * np.abs(samples).max()
                spikes += 1
                try:
                    found += (0, 0, 0, line) in checked(good).dropped_lines
                except ImagingRefused:
                    refused += 1
    print(f"{count} good acquisitions: {alarms} lost a coil or a line")
    print(
        f"one spike of 10 % of the peak in each: {found} dropped, {refused} refused, {spikes - found - refused} missed"
    )
    for snr in (20, 100):
        shown = "  ".join(f"{shift:g}: {100 * disagreement(head, snr, shift):.1f} %" for shift in (0, 0.5, 1, 2, 4))
        print(f"two averages, signal to noise {snr}, by the shift in voxels: {shown}")


def disagreement(head: np.ndarray, snr: float, shift: float) -> float:
    """Return ``repeat_disagreement`` of two averages of which the second is shifted along the lines."""
    made = simulated(head, Scanner(coils=8, signal_to_noise=snr), 1)
    whole = to_samples(made.maps * made.image)
    turn = np.exp(-2j * np.pi * shift * (np.arange(256) - 128) / 256)[:, None]
    random = np.random.default_rng(7)
    first, second = (
        (one + made.noise_deviation * (random.normal(size=whole.shape) + 1j * random.normal(size=whole.shape)))
        for one in (whole, whole * turn)
    )
    every = np.arange(256)
    lines = Lines(every, *(np.zeros(256, np.int64) for _ in range(3)), every, every * 0, np.zeros((256, 3), np.int64))
    repeats = Repeats((1, 1, 8, 1, 256, 256))
    held = first.astype(np.complex64)[None, None, :, None]
    block = second.astype(np.complex64).swapaxes(0, 1)
    repeats.compare(held, lines, slice(0, 256), block, np.ones((1, 1, 1, 256), np.uint16))
    return repeats.disagreement() or 0.0


if __name__ == "__main__":
    checks() if "checks" in sys.argv else main()
