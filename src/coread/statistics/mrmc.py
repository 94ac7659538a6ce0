"""Reader studies: several readers read the same cases with several modalities (with and without the AI reader).

Obuchowski and Rockette (1995) with the degrees of freedom of Hillis (2007), and the pseudovalue analysis of Dorfman,
Berbaum and Metz (1992) as unified by Hillis, Berbaum and Metz (2008). The figure of merit is the empirical AUC, or the
sensitivity or specificity of calls (scores 0 and 1).
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from coread.domain.cards import Estimate
from coread.statistics.arrays import Flags, Floats, both_classes
from coread.statistics.errors import NotEstimable, UnsuitableData
from coread.statistics.extras import scipy_part
from coread.statistics.intervals import estimate, two_sided
from coread.statistics.power import MrmcVariances
from coread.statistics.roc import delong_covariance, placements

_NOTHING = 1e-14
"""A variance this small is rounding."""
CovarianceMethod = Literal["delong", "jackknife", "bootstrap"]
Figure = Literal["auc", "sensitivity", "specificity"]


@dataclass(frozen=True, slots=True, eq=False)
class ReaderStudy:
    """A fully crossed study: every reader scored every case with every modality."""

    modalities: tuple[str, ...]
    readers: tuple[str, ...]
    cases: tuple[str, ...]
    truth: Flags
    scores: Floats
    """(modalities, readers, cases)."""

    def __post_init__(self) -> None:
        shape = (len(self.modalities), len(self.readers), len(self.cases))
        if self.scores.shape != shape or self.truth.shape != shape[2:]:
            raise UnsuitableData(f"scores of a reader study must have shape {shape}, got {self.scores.shape}.")
        if np.isnan(self.scores).any():
            raise UnsuitableData("a reader did not score every case with every modality; the design must be crossed.")


@dataclass(frozen=True, slots=True)
class Components:
    """Variance of readers, of modality x reader, and (co)variances of the errors; estimates may be negative."""

    reader: float
    modality_reader: float
    error: float
    covariance1: float
    """Same reader, different modalities."""
    covariance2: float
    """Different readers, same modality."""
    covariance3: float
    """Different readers, different modalities."""


@dataclass(frozen=True, slots=True)
class PairwiseDifference:
    """Mean AUC of the first modality minus that of the second."""

    first: str
    second: str
    difference: Estimate
    standard_error: float
    p_value: float


@dataclass(frozen=True, slots=True)
class StudyTest:
    """The test that all modalities are equal, differences, and each modality alone, under one view of the factors."""

    statistic: float
    """F, or chi-square where readers are fixed."""
    degrees_of_freedom: float
    error_degrees_of_freedom: float | None
    """Of the denominator of F; None for chi-square."""
    p_value: float
    differences: tuple[PairwiseDifference, ...]
    modalities: tuple[Estimate, ...]
    """Mean AUC of each modality, its interval from that modality's data alone."""


@dataclass(frozen=True, slots=True, eq=False)
class StudyAnalysis:
    """Obuchowski-Rockette: what holds for readers and cases to come, for these readers, or for these cases only."""

    study: ReaderStudy
    aucs: Floats
    """(modalities, readers): the figure of merit of each reader with each modality."""
    mean_square_modality: float
    mean_square_reader: float
    mean_square_interaction: float
    components: Components
    random_both: StudyTest
    fixed_readers: StudyTest
    fixed_cases: StudyTest
    by_reader: tuple[tuple[PairwiseDifference, ...], ...]
    """For each reader, differences between modalities by the normal distribution."""
    figure: Figure = "auc"

    def variances(self) -> MrmcVariances:
        """Return what the power of the next study is computed from."""
        c = self.components
        return MrmcVariances(
            c.modality_reader, c.error, c.covariance1, c.covariance2, c.covariance3, len(self.study.cases)
        )


@dataclass(frozen=True, slots=True)
class PseudovalueAnalysis:
    """Three-way ANOVA of jackknife pseudovalues: mean squares and the tests of Hillis, Berbaum and Metz (2008)."""

    modality: float
    reader: float
    case: float
    modality_reader: float
    modality_case: float
    reader_case: float
    modality_reader_case: float
    f_random_both: float
    error_degrees_of_freedom: float
    p_random_both: float
    f_fixed_readers: float
    p_fixed_readers: float
    f_fixed_cases: float
    p_fixed_cases: float


def analyse_readers(
    study: ReaderStudy,
    *,
    covariance: CovarianceMethod = "delong",
    figure: Figure = "auc",
    level: float = 0.95,
    repeats: int = 2000,
    seed: int = 0,
) -> StudyAnalysis:
    """Analyse a reader study; ``repeats`` and ``seed`` are for the bootstrap covariance.

    For sensitivity and specificity the scores are calls, 0 or 1; only the positive or the negative cases enter.
    """
    _check_design(study)
    modalities, readers = len(study.modalities), len(study.readers)
    flat = study.scores.reshape(modalities * readers, -1)
    if figure == "auc":
        areas, spread = _areas_and_covariance(study.truth, flat, covariance, repeats=repeats, seed=seed)
    else:
        right = _right_calls(study, flat, figure)
        areas, spread = right.mean(axis=1), _covariance_of_means(right, covariance, repeats=repeats, seed=seed)
    aucs = areas.reshape(modalities, readers)
    table = spread.reshape(modalities, readers, modalities, readers)
    square_modality, square_reader, square_interaction = _mean_squares(aucs)
    error, c1, c2, c3 = _averages(table)
    reader = (square_reader - square_interaction) / modalities - (c1 - c3)
    components = Components(reader, square_interaction - error + c1 + (c2 - c3), error, c1, c2, c3)
    tests = _Tests(study, aucs, table, level, (square_modality, square_interaction), components)
    return StudyAnalysis(
        study=study,
        aucs=aucs,
        mean_square_modality=square_modality,
        mean_square_reader=square_reader,
        mean_square_interaction=square_interaction,
        components=components,
        random_both=tests.random_both(),
        fixed_readers=tests.fixed_readers(),
        fixed_cases=tests.fixed_cases(),
        by_reader=tests.by_reader(),
        figure=figure,
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Tests:
    """The three views of Hillis (2007) over one set of mean squares and covariances."""

    study: ReaderStudy
    aucs: Floats
    table: NDArray[np.float64]
    level: float
    squares: tuple[float, float]
    components: Components

    def random_both(self) -> StudyTest:
        f = scipy_part("stats").f

        modalities, readers = self.aucs.shape
        square_modality, interaction = self.squares
        shared = max(self.components.covariance2 - self.components.covariance3, 0.0)
        noise = interaction + readers * shared
        between = (modalities - 1) * (readers - 1)
        ratio, degrees = _f_ratio(square_modality, noise, noise**2, interaction**2 / between if interaction else 0.0)
        alone = []
        for i in range(modalities):
            own, shared = self._single(i)
            error = own + readers * max(shared, 0.0)
            free = error**2 / (own**2 / (readers - 1)) if own > 0 else np.inf
            alone.append(self._interval(float(self.aucs[i].mean()), float(np.sqrt(error / readers)), free))
        return StudyTest(
            ratio,
            modalities - 1,
            degrees,
            float(f.sf(ratio, modalities - 1, degrees)),
            self._pairs(float(np.sqrt(2 * noise / readers)), degrees),
            tuple(alone),
        )

    def fixed_readers(self) -> StudyTest:
        chdtrc = scipy_part("special").chdtrc

        modalities, readers = self.aucs.shape
        c = self.components
        noise = c.error - c.covariance1 + (readers - 1) * max(c.covariance2 - c.covariance3, 0.0)
        if noise <= _NOTHING:
            raise NotEstimable("the errors of the readers have no variance on these cases.")
        statistic = (modalities - 1) * self.squares[0] / noise
        alone = []
        for i in range(modalities):
            error, shared = float(np.diagonal(self.table[i, :, i, :]).mean()), self._single(i)[1]
            spread = float(np.sqrt((error + (readers - 1) * max(shared, 0.0)) / readers))
            alone.append(self._interval(float(self.aucs[i].mean()), spread, np.inf))
        return StudyTest(
            float(statistic),
            modalities - 1,
            None,
            float(chdtrc(modalities - 1, statistic)),
            self._pairs(float(np.sqrt(2 * noise / readers)), np.inf),
            tuple(alone),
        )

    def fixed_cases(self) -> StudyTest:
        f = scipy_part("stats").f

        modalities, readers = self.aucs.shape
        square_modality, interaction = self.squares
        between = (modalities - 1) * (readers - 1)
        ratio, _ = _f_ratio(square_modality, interaction, 1.0, 1.0)
        alone = [
            self._interval(float(row.mean()), float(row.std(ddof=1) / np.sqrt(readers)), readers - 1)
            for row in self.aucs
        ]
        return StudyTest(
            ratio,
            modalities - 1,
            between,
            float(f.sf(ratio, modalities - 1, between)),
            self._pairs(float(np.sqrt(2 * interaction / readers)), between),
            tuple(alone),
        )

    def by_reader(self) -> tuple[tuple[PairwiseDifference, ...], ...]:
        answers = []
        modalities, readers = self.aucs.shape
        for j in range(readers):
            own = self.table[:, j, :, j]
            error = float(np.diagonal(own).mean())
            shared = float((own.sum() - np.trace(own)) / (modalities * (modalities - 1)))
            spread = float(np.sqrt(max(2 * (error - shared), 0.0)))
            answers.append(self._pairs(spread, np.inf, self.aucs[:, j]))
        return tuple(answers)

    def _single(self, i: int) -> tuple[float, float]:
        """Return the mean square between readers and the covariance of different readers within one modality."""
        own, readers = self.table[i, :, i, :], self.aucs.shape[1]
        return float(self.aucs[i].var(ddof=1)), float((own.sum() - np.trace(own)) / (readers * (readers - 1)))

    def _pairs(self, spread: float, degrees: float, values: Floats | None = None) -> tuple[PairwiseDifference, ...]:
        part = scipy_part("stats")
        norm, t = part.norm, part.t

        means = self.aucs.mean(axis=1) if values is None else values
        names = self.study.modalities
        answers = []
        for i in range(len(names)):
            for k in range(i + 1, len(names)):
                gap = float(means[i] - means[k])
                if spread <= 0:
                    p_value = float(gap == 0)
                else:
                    p_value = float(
                        2 * (norm.sf(abs(gap) / spread) if np.isinf(degrees) else t.sf(abs(gap) / spread, degrees))
                    )
                answers.append(
                    PairwiseDifference(
                        names[i], names[k], self._interval(gap, spread, degrees, bounded=False), spread, p_value
                    )
                )
        return tuple(answers)

    def _interval(self, value: float, spread: float, degrees: float, *, bounded: bool = True) -> Estimate:
        t = scipy_part("stats").t

        factor = two_sided(self.level) if np.isinf(degrees) else float(t.ppf(0.5 + self.level / 2, degrees))
        low, high = value - factor * spread, value + factor * spread
        if bounded:
            low, high = max(low, 0.0), min(high, 1.0)
        return estimate(value, low, high, len(self.study.cases))


def analyse_pseudovalues(study: ReaderStudy) -> PseudovalueAnalysis:
    """Analyse jackknife pseudovalues by a modality x reader x case ANOVA."""
    f = scipy_part("stats").f

    _check_design(study)
    modalities, readers, cases = study.scores.shape
    flat = study.scores.reshape(modalities * readers, cases)
    y = _pseudovalues(study.truth, flat)[1].reshape(modalities, readers, cases)
    grand = y.mean()
    t, r, c = (y.mean(axis=axes) - grand for axes in ((1, 2), (0, 2), (0, 1)))
    tr = y.mean(axis=2) - grand - t[:, None] - r[None, :]
    tc = y.mean(axis=1) - grand - t[:, None] - c[None, :]
    rc = y.mean(axis=0) - grand - r[:, None] - c[None, :]
    rest = y - grand - t[:, None, None] - r[None, :, None] - c[None, None, :]
    rest = rest - tr[:, :, None] - tc[:, None, :] - rc[None, :, :]
    free_t, free_r, free_c = modalities - 1, readers - 1, cases - 1
    ms_t = readers * cases * float((t**2).sum()) / free_t
    ms_tr = cases * float((tr**2).sum()) / (free_t * free_r)
    ms_tc = readers * float((tc**2).sum()) / (free_t * free_c)
    ms_trc = float((rest**2).sum()) / (free_t * free_r * free_c)
    noise = ms_tr + max(ms_tc - ms_trc, 0.0)
    ratio, degrees = _f_ratio(ms_t, noise, noise**2, ms_tr**2 / (free_t * free_r))
    by_case, by_reader = _f_ratio(ms_t, ms_tc, 1.0, 1.0)[0], _f_ratio(ms_t, ms_tr, 1.0, 1.0)[0]
    return PseudovalueAnalysis(
        modality=ms_t,
        reader=modalities * cases * float((r**2).sum()) / free_r,
        case=modalities * readers * float((c**2).sum()) / free_c,
        modality_reader=ms_tr,
        modality_case=ms_tc,
        reader_case=modalities * float((rc**2).sum()) / (free_r * free_c),
        modality_reader_case=ms_trc,
        f_random_both=ratio,
        error_degrees_of_freedom=degrees,
        p_random_both=float(f.sf(ratio, free_t, degrees)),
        f_fixed_readers=by_case,
        p_fixed_readers=float(f.sf(by_case, free_t, free_t * free_c)),
        f_fixed_cases=by_reader,
        p_fixed_cases=float(f.sf(by_reader, free_t, free_t * free_r)),
    )


def _check_design(study: ReaderStudy) -> None:
    modalities, readers, _ = study.scores.shape
    if readers < 2:
        raise NotEstimable("a reader study needs at least two readers; compare one reader's areas with compare_aucs.")
    if modalities < 2:
        raise NotEstimable("a reader study compares at least two modalities; for one, estimate each reader's AUC.")
    positives, negatives = both_classes(study.truth)
    if positives < 2 or negatives < 2:
        raise NotEstimable("a reader study needs at least two positives and two negatives.")


def _areas_and_covariance(
    truth: Flags, scores: Floats, method: CovarianceMethod, *, repeats: int, seed: int
) -> tuple[Floats, Floats]:
    if method == "delong":
        return delong_covariance(truth, scores)
    areas, pseudo = _pseudovalues(truth, scores)
    if method == "jackknife":
        return areas, np.asarray(np.cov(pseudo) / len(truth))
    random = np.random.default_rng(seed)
    drawn: list[list[float]] = []
    while len(drawn) < repeats:
        chosen = random.integers(0, len(truth), len(truth))
        if 0 < truth[chosen].sum() < len(truth):
            drawn.append(
                [float(above.mean()) for above, _ in (placements(truth[chosen], row[chosen]) for row in scores)]
            )
    return areas, np.asarray(np.cov(np.array(drawn).T))


def _right_calls(study: ReaderStudy, calls: Floats, figure: Figure) -> Floats:
    """Return which calls are right among the cases of one class, (readers x modalities, cases)."""
    if not np.isin(calls, (0.0, 1.0)).all():
        raise UnsuitableData(f"{figure} needs calls, 0 or 1, not scores: apply each reader's threshold first.")
    return calls[:, study.truth] if figure == "sensitivity" else 1.0 - calls[:, ~study.truth]


def _covariance_of_means(values: Floats, method: CovarianceMethod, *, repeats: int, seed: int) -> Floats:
    """Return the covariance of means over cases; for means DeLong's and the jackknife's are the sample covariance."""
    n = values.shape[1]
    if method != "bootstrap":
        return np.asarray(np.cov(values) / n)
    weights = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=repeats) / n
    return np.asarray(np.cov(values @ weights.T))


def _pseudovalues(truth: Flags, scores: Floats) -> tuple[Floats, Floats]:
    """Return AUCs (K,) and jackknife pseudovalues (K, N); leaving out a case needs only its placement."""
    positives, negatives = both_classes(truth)
    areas, pseudo = np.empty(len(scores)), np.empty(scores.shape)
    for k, row in enumerate(scores):
        above, below = placements(truth, row)
        area = above.mean()
        left = np.empty(len(row))
        left[truth] = (positives * area - above) / (positives - 1)
        left[~truth] = (negatives * area - below) / (negatives - 1)
        areas[k] = area
        pseudo[k] = len(row) * area - (len(row) - 1) * left
        # Pseudovalues average to the jackknife's own estimate; shifted, to the AUC itself (Hillis et al. 2005).
        pseudo[k] += area - pseudo[k].mean()
    return areas, pseudo


def _mean_squares(aucs: Floats) -> tuple[float, float, float]:
    modalities, readers = aucs.shape
    t, r = aucs.mean(axis=1) - aucs.mean(), aucs.mean(axis=0) - aucs.mean()
    rest = aucs - aucs.mean() - t[:, None] - r[None, :]
    return (
        readers * float((t**2).sum()) / (modalities - 1),
        modalities * float((r**2).sum()) / (readers - 1),
        float((rest**2).sum()) / ((modalities - 1) * (readers - 1)),
    )


def _averages(table: NDArray[np.float64]) -> tuple[float, float, float, float]:
    """Return the mean error variance and the three mean covariances of a (M, R, M, R) covariance table."""
    modalities, readers = table.shape[:2]
    same_modality = np.eye(modalities, dtype=np.bool_)[:, None, :, None]
    same_reader = np.eye(readers, dtype=np.bool_)[None, :, None, :]
    masks = (
        same_modality & same_reader,
        ~same_modality & same_reader,
        same_modality & ~same_reader,
        ~same_modality & ~same_reader,
    )
    error, c1, c2, c3 = (float(table[np.broadcast_to(mask, table.shape)].mean()) for mask in masks)
    return error, c1, c2, c3


def _f_ratio(between: float, noise: float, top: float, bottom: float) -> tuple[float, float]:
    if noise <= _NOTHING or bottom <= _NOTHING**2:
        raise NotEstimable("readers differ between modalities by exactly the same amount: no error to test against.")
    return between / noise, top / bottom
