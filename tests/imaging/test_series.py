"""What is in a series: split by plane, kind and time; localizers apart; gaps, doubles and tilt named, never guessed."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset

from coread.domain.images import Quantity
from coread.domain.reasons import ReasonCode
from coread.imaging.errors import ImagingRefused, MissingSlice, SamePosition, UnevenGaps
from coread.imaging.series import Choices, Doubles, Gaps, OpenedSeries, load, open_series
from coread.imaging.volume import load_volume
from coread.phantoms.ct import ct_affine, ct_voxels, with_orientation
from tests.imaging.made_series import SMALL, at, mr_slices, named, pixels_of, saved, slices


def keys(opened: OpenedSeries) -> list[dict[str, str]]:
    return [dict(stack.key) for stack in opened.stacks]


def only_reason(opened: OpenedSeries) -> ReasonCode:
    (stack,) = opened.stacks
    assert stack.refusal is not None
    return stack.refusal.code


def test_b_values_never_share_a_volume(tmp_path: Path) -> None:
    made = []
    for b in (0, 1000):

        def edit(dataset: Dataset, _: int, b: int = b) -> None:
            dataset.DiffusionBValue = float(b)

        made += mr_slices(edit, copy=str(b))
    opened = open_series(saved(tmp_path, made))
    assert keys(opened) == [{"b_value": "0"}, {"b_value": "1000"}]
    assert [load(stack).voxels.shape for stack in opened.volumes()] == [(7, 12, 10)] * 2


def test_siemens_and_ge_b_values_are_read_where_their_maker_is_named(tmp_path: Path) -> None:
    made = []
    for b in (0, 800):

        def siemens(dataset: Dataset, _: int, b: int = b) -> None:
            block = dataset.private_block(0x0019, "SIEMENS MR HEADER", create=True)
            block.add_new(0x0C, "IS", b)

        made += mr_slices(siemens, copy=f"s{b}")
    assert keys(open_series(saved(tmp_path / "s", made))) == [{"b_value": "0"}, {"b_value": "800"}]
    made = []
    for b in (0, 800):

        def ge(dataset: Dataset, _: int, b: int = b) -> None:
            block = dataset.private_block(0x0043, "GEMS_PARM_01", create=True)
            block.add_new(0x39, "IS", [1_000_000_000 + b, 8, 0, 0])

        made += mr_slices(ge, copy=f"g{b}")
    assert keys(open_series(saved(tmp_path / "g", made))) == [{"b_value": "0"}, {"b_value": "800"}]
    made = []
    for b in (0, 800):

        def stranger(dataset: Dataset, _: int, b: int = b) -> None:
            block = dataset.private_block(0x0019, "SOMEBODY ELSE", create=True)
            block.add_new(0x0C, "IS", b)

        made += mr_slices(stranger, copy=f"x{b}")
    assert only_reason(open_series(saved(tmp_path / "x", made))) is ReasonCode.SAME_POSITION


def test_phases_are_the_order_of_trigger_times_where_each_slice_has_times_of_its_own(tmp_path: Path) -> None:
    made = []
    for phase in range(3):

        def edit(dataset: Dataset, k: int, phase: int = phase) -> None:
            dataset.TriggerTime = f"{10.0 + phase * (30 + k):.2f}"  # every slice was scanned in another heartbeat
            dataset.PixelData = (pixels_of(dataset) + np.uint16(phase)).tobytes()

        made += mr_slices(edit, copy=str(phase))
    order = np.random.default_rng(1).permutation(len(made))
    opened = open_series(saved(tmp_path, [made[i] for i in order]))
    volumes = [load(stack) for stack in opened.volumes()]
    assert [dict(volume.key)["trigger_time_ms_order"].split()[0] for volume in volumes] == ["1", "2", "3"]
    for phase in (1, 2):
        assert np.array_equal(volumes[phase].voxels, volumes[0].voxels + phase)


@pytest.mark.parametrize(
    ("keyword", "name", "values"),
    [
        ("TemporalPositionIdentifier", "temporal_position", ("1", "2")),
        ("AcquisitionNumber", "acquisition_number", ("3", "4")),
        ("EchoTime", "echo_time_ms", ("2.3", "4.6")),
        ("TriggerTime", "trigger_time_ms", ("0", "40")),
        ("AcquisitionTime", "acquisition_time", ("101010.5", "101020.5")),
        ("InversionTime", "inversion_time_ms", ("100", "900")),
    ],
)
def test_what_tells_images_at_one_position_apart(
    tmp_path: Path, keyword: str, name: str, values: tuple[str, str]
) -> None:
    made = []
    for value in values:

        def edit(dataset: Dataset, _: int, value: str = value) -> None:
            dataset.AcquisitionNumber = "1"
            setattr(dataset, keyword, value)

        made += mr_slices(edit, copy=value)
    opened = open_series(saved(tmp_path, made))
    assert [key[name] for key in keys(opened)] == list(values)
    assert len(opened.volumes()) == 2


def test_an_echo_number_and_a_component_are_kinds_of_image(tmp_path: Path) -> None:
    made = []
    for component in "MP":
        for echo in (1, 2):

            def edit(dataset: Dataset, _: int, component: str = component, echo: int = echo) -> None:
                dataset.ImageType = ["ORIGINAL", "PRIMARY", component, "ND"]
                dataset.EchoNumbers = echo

            made += mr_slices(edit, copy=f"{component}{echo}")
    found = keys(open_series(saved(tmp_path, made)))
    assert {(key["component"], key["echo_number"]) for key in found} == {
        ("magnitude", "1"), ("magnitude", "2"), ("phase", "1"), ("phase", "2"),
    }  # fmt: skip


def test_times_that_change_from_slice_to_slice_split_nothing(tmp_path: Path) -> None:
    def edit(dataset: Dataset, k: int) -> None:
        dataset.AcquisitionNumber, dataset.AcquisitionTime = str(k + 1), f"1010{k:02d}"
        dataset.TriggerTime, dataset.TemporalPositionIdentifier = str(10 * k), str(k + 1)

    opened = open_series(saved(tmp_path, slices(edit=edit)))
    assert keys(opened) == [{}]
    assert opened.stacks[0].refusal is None


def test_two_phases_of_which_one_lacks_a_slice_are_told_apart_and_the_gap_is_named(tmp_path: Path) -> None:
    made = []
    for phase in (1, 2):

        def edit(dataset: Dataset, _: int, phase: int = phase) -> None:
            dataset.TemporalPositionIdentifier = str(phase)

        made += mr_slices(edit, copy=str(phase))
    opened = open_series(saved(tmp_path, made[:10] + made[11:]))
    whole, broken = opened.stacks
    assert (dict(whole.key), dict(broken.key)) == ({"temporal_position": "1"}, {"temporal_position": "2"})
    assert whole.refusal is None
    assert broken.refusal is not None
    assert "after instance 3 the gap is 5.00 mm, usual is 2.50 mm (1 missing)" in broken.refusal.text()


def test_localizers_stand_apart_and_the_stack_is_read(tmp_path: Path) -> None:
    def scout(dataset: Dataset, _: int) -> None:
        dataset.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]

    made = slices() + slices(edit=scout, copy="scout")[:1]
    opened = open_series(saved(tmp_path, made))
    assert len(opened.volumes()) == 1
    (apart,) = opened.set_apart
    assert apart.reason.code is ReasonCode.LOCALIZER
    assert apart.sop_instance_uid == made[-1].SOPInstanceUID


def test_planes_of_different_directions_sizes_and_spacings_are_different_volumes(tmp_path: Path) -> None:
    def other_frame(dataset: Dataset, _: int) -> None:
        dataset.FrameOfReferenceUID = slices(SMALL)[0].FrameOfReferenceUID

    turned = replace(with_orientation(SMALL, 40), slices=5)
    wider = named(replace(SMALL, spacing_mm=(2.0, 2.0), slices=4, center_mm=(0, 0, 200)), "wider")
    larger = named(replace(SMALL, rows=14, slices=3, center_mm=(0, 0, -200)), "larger")
    made = slices() + [one for recipe in (turned, wider, larger) for one in slices(recipe, other_frame)]
    opened = open_series(saved(tmp_path, made))
    assert [len(stack.slices) for stack in opened.volumes()] == [7, 5, 4, 3]
    assert {name for key in keys(opened) for name in key} == {"matrix", "orientation", "pixel_spacing"}
    for stack, recipe in zip(opened.volumes(), (SMALL, turned, wider, larger), strict=True):
        volume = load(stack)
        assert volume.geometry.spacing_mm() == pytest.approx((2.5, *recipe.spacing_mm))
        assert np.sort(volume.voxels.ravel()) == pytest.approx(np.sort(ct_voxels(recipe).ravel()))


@pytest.mark.parametrize("start", [-120.52, -120.5, 0.49, 17.0])
@pytest.mark.parametrize("drift", [0.004, -0.03, 0.0])
def test_a_stack_that_drifts_past_a_round_number_stays_whole(tmp_path: Path, start: float, drift: float) -> None:
    def edit(dataset: Dataset, k: int) -> None:
        _, y, z = (float(part) for part in dataset.ImagePositionPatient)
        at(dataset, (start + drift * k + 0.001 * (-1) ** k, y, z))

    (stack,) = open_series(saved(tmp_path, slices(edit=edit))).stacks
    assert (len(stack.slices), stack.key, stack.refusal) == (SMALL.slices, (), None)


def test_a_single_slice_of_unknown_depth_says_what_is_taken_for_it(tmp_path: Path) -> None:
    def bare(dataset: Dataset, _: int) -> None:
        del dataset.SliceThickness
        if "SpacingBetweenSlices" in dataset:
            del dataset.SpacingBetweenSlices

    for number, edit in enumerate((bare, None)):
        (stack,) = open_series(saved(tmp_path / str(number), slices(edit=edit)[:1]), Choices(min_slices=1)).stacks
        assert any("taken as 1 mm" in note for note in stack.notes) is (edit is bare)


def test_two_stacks_side_by_side_are_two_volumes(tmp_path: Path) -> None:
    def aside(dataset: Dataset, _: int) -> None:
        x, y, z = (float(part) for part in dataset.ImagePositionPatient)
        at(dataset, (x + 120, y, z))

    opened = open_series(saved(tmp_path, slices() + slices(edit=aside, copy="aside")))
    assert keys(opened) == [{"side": "1"}, {"side": "2"}]
    left, right = (load(stack).geometry.matrix()[:3, 3] for stack in opened.volumes())
    assert right - left == pytest.approx([120, 0, 0])


def test_missing_slices_are_named_and_filled_only_where_that_is_asked_for(tmp_path: Path) -> None:
    located = saved(tmp_path, slices(replace(SMALL, missing=(2, 3))))
    opened = open_series(located)
    assert only_reason(opened) is ReasonCode.MISSING_SLICE
    assert "after instance 2 the gap is 7.50 mm, usual is 2.50 mm (2 missing)" in str(opened.stacks[0].refusal)
    with pytest.raises(MissingSlice):
        load(opened.stacks[0])
    choices = Choices(gaps=Gaps.RESAMPLE)
    volume = load(open_series(located, choices).stacks[0], choices)
    truth = ct_voxels(SMALL).astype(np.float32)
    truth[2] = truth[1] + (truth[4] - truth[1]) / 3
    truth[3] = truth[1] + (truth[4] - truth[1]) * 2 / 3
    assert volume.voxels == pytest.approx(truth, abs=1e-3)
    assert volume.geometry.matrix() == pytest.approx(ct_affine(SMALL), abs=1e-6)
    (change,) = volume.changes
    assert "interpolated linearly from 5 uneven positions" in change
    assert [header.instance_number for header in volume.headers] == [1, 2, 2, 5, 5, 6, 7]


def test_uneven_gaps_keep_what_is_known_at_the_real_positions(tmp_path: Path) -> None:
    heights = np.array([0, 4, 8, 12, 19, 26, 33.0])

    def ramp(dataset: Dataset, k: int) -> None:
        at(dataset, (-5.0, 3.0 + 0.3 * heights[k], heights[k]))  # leaning: the gantry was tilted
        dataset.PixelData = np.full((12, 10), 1024 + 10 * heights[k], "<u2").tobytes()

    located = saved(tmp_path, slices(edit=ramp))
    with pytest.raises(UnevenGaps, match=r"3 x 4\.00 mm, 3 x 7\.00 mm"):
        load_volume(located)
    choices = Choices(gaps=Gaps.RESAMPLE)
    volume = load(open_series(located, choices).stacks[0], choices)
    centres = volume.geometry.to_patient(np.argwhere(np.ones((volume.voxels.shape[0], 1, 1))))
    assert volume.voxels[:, 4, 4] == pytest.approx(10 * centres[:, 2], abs=1e-3)
    assert centres[-1] == pytest.approx([-5.0, 3.0 + 0.3 * 33, 33.0])


def test_slices_off_a_straight_line_are_never_resampled(tmp_path: Path) -> None:
    def bent(dataset: Dataset, k: int) -> None:
        at(dataset, (float(k * k), 0.0, 2.5 * k if k < 4 else 2.5 * k + 1.3))

    opened = open_series(saved(tmp_path, slices(edit=bent)), Choices(gaps=Gaps.RESAMPLE))
    assert only_reason(opened) in (ReasonCode.UNEVEN_GAPS, ReasonCode.MIXED_GEOMETRY)


def test_copies_are_dropped_when_asked_and_slices_that_differ_never(tmp_path: Path) -> None:
    located = saved(tmp_path / "same", slices(replace(SMALL, doubled=(3,))))
    with pytest.raises(SamePosition, match="instances 4 and 11"):
        load_volume(located)
    choices = Choices(doubles=Doubles.DROP_COPIES)
    volume = load(open_series(located, choices).stacks[0], choices)
    assert np.array_equal(volume.voxels, ct_voxels(SMALL))
    assert volume.changes == ("left out as copies of others: instance 11",)

    def other(dataset: Dataset, k: int) -> None:
        if k == 4:
            dataset.PixelData = (pixels_of(dataset) + np.uint16(1)).tobytes()

    located = saved(tmp_path / "other", slices(replace(SMALL, doubled=(3,)), other))
    assert only_reason(open_series(located, choices)) is ReasonCode.SAME_POSITION


def test_a_frame_of_reference_for_each_image_is_taken_as_one_and_said(tmp_path: Path) -> None:
    def own(dataset: Dataset, k: int) -> None:
        dataset.FrameOfReferenceUID = f"1.2.3.{k + 1}"

    (stack,) = open_series(saved(tmp_path / "each", slices(edit=own))).volumes()
    assert "each of 7 images has a Frame of Reference UID of its own" in load(stack).changes[0]

    def two(dataset: Dataset, k: int) -> None:
        dataset.FrameOfReferenceUID = f"1.2.3.{1 + k // 4}"

    opened = open_series(saved(tmp_path / "two", slices(edit=two)))
    assert keys(opened) == [{"frame_of_reference": "1"}, {"frame_of_reference": "2"}]


def test_each_slice_has_its_own_slope_and_the_values_are_exact(tmp_path: Path) -> None:
    slopes = [0.7324219, 1.0, 2.5, 0.001, 1.0002441, 3.0, 0.3333333]

    def edit(dataset: Dataset, k: int) -> None:
        dataset.RescaleSlope, dataset.RescaleIntercept = str(slopes[k]), "-12.25"
        dataset.Modality, dataset.Units = "PT", "BQML"
        del dataset.RescaleType

    made = slices(edit=edit)
    volume = load_volume(saved(tmp_path, made))
    truth = [(pixels_of(one).astype(np.float64) * slope - 12.25) for one, slope in zip(made, slopes, strict=True)]
    assert np.array_equal(volume.voxels, np.stack(truth).astype(np.float32))
    assert (volume.quantity, volume.unit) == (Quantity.ACTIVITY, "Bq/ml")


def test_signed_short_and_odd_bits_are_settled(tmp_path: Path) -> None:
    def signed(dataset: Dataset, _: int) -> None:
        values = pixels_of(dataset).astype(np.int16) - 1024
        dataset.PixelRepresentation, dataset.RescaleIntercept = 1, 0
        dataset.BitsStored, dataset.HighBit = 13, 12
        dataset.PixelData = (values.view(np.uint16) & np.uint16(0x1FFF)).tobytes()  # the sign is in bit 12

    def junk(dataset: Dataset, _: int) -> None:
        dataset.PixelData = (pixels_of(dataset) | np.uint16(0x8000)).tobytes()  # an old overlay above the pixels

    for name, edit in (("signed", signed), ("junk", junk)):
        volume = load_volume(saved(tmp_path / name, slices(edit=edit)))
        assert np.array_equal(volume.voxels, ct_voxels(SMALL)), name


def test_maps_are_named_and_units_are_not_invented(tmp_path: Path) -> None:
    def adc(dataset: Dataset, _: int) -> None:
        dataset.ImageType = ["DERIVED", "PRIMARY", "DIFFUSION", "ADC"]

    volume = load_volume(saved(tmp_path / "adc", mr_slices(adc)))
    assert (volume.quantity, volume.unit) == (Quantity.ADC, "")
    plain = load_volume(saved(tmp_path / "mr", mr_slices()))
    assert (plain.quantity, plain.unit) == (Quantity.ARBITRARY, "")
    ct = load_volume(saved(tmp_path / "ct", slices()))
    assert (ct.quantity, ct.unit) == (Quantity.HOUNSFIELD, "[hnsf'U]")

    def unspecified(dataset: Dataset, _: int) -> None:
        dataset.RescaleType = "US"

    assert load_volume(saved(tmp_path / "us", slices(edit=unspecified))).quantity is Quantity.ARBITRARY


def test_what_is_no_slice_stands_apart_with_its_reason(tmp_path: Path) -> None:
    def colour(dataset: Dataset, _: int) -> None:
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PlanarConfiguration = 3, "RGB", 0
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
        dataset.PixelData = bytes(360)

    def nowhere(dataset: Dataset, _: int) -> None:
        del dataset.ImagePositionPatient

    def empty(dataset: Dataset, _: int) -> None:
        del dataset.PixelData

    def no_slope(dataset: Dataset, _: int) -> None:
        dataset.RescaleSlope = "0"

    expected = {
        "colour": (colour, ReasonCode.PIXEL_MEANING),
        "nowhere": (nowhere, ReasonCode.MIXED_GEOMETRY),
        "empty": (empty, ReasonCode.NO_PIXELS),
        "slope": (no_slope, ReasonCode.PIXEL_MEANING),
    }
    for name, (edit, code) in expected.items():
        opened = open_series(saved(tmp_path / name, slices() + slices(edit=edit, copy=name)[:1]))
        assert len(opened.volumes()) == 1
        assert [item.reason.code for item in opened.set_apart] == [code], name
        with pytest.raises(ImagingRefused):
            load_volume(saved(tmp_path / name / "again", slices() + slices(edit=edit, copy=name)[:1]))


def test_a_file_cut_after_it_was_indexed_is_refused(tmp_path: Path) -> None:
    located = saved(tmp_path, slices())
    opened = open_series(located)
    located[3][0].write_bytes(located[3][0].read_bytes()[:-40])
    with pytest.raises(ImagingRefused):
        load(opened.stacks[0])
    assert open_series(located).stacks[0].slices[3].pixels_at is None
    with pytest.raises(ImagingRefused):
        load_volume(located)


def test_one_slice_is_a_volume_only_where_that_is_asked_for(tmp_path: Path) -> None:
    located = saved(tmp_path, slices()[:1])
    assert only_reason(open_series(located)) is ReasonCode.TOO_FEW_IMAGES
    volume = load_volume(located, min_slices=1)
    assert volume.geometry.spacing_mm() == pytest.approx((2.5, 1.5, 1.2))
