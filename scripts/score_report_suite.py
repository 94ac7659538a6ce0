"""Score the report labeler on its hard sentences: right as a whole, and right label by label, with intervals.

``python scripts/score_report_suite.py [development|held_back]``
"""

import sys
from collections import Counter

from tests.reports.suite_cases import answered, cases

from coread.reports import FINDINGS
from coread.statistics.intervals import wilson


def main() -> None:
    for part in sys.argv[1:] or ("development", "held_back"):
        found = cases(part)
        answers = [answered(case) for case in found]
        right = sum(answer == case.expect for case, answer in zip(found, answers, strict=True))
        print(f"{part}: sentences with every label right {shown(right, len(found))}")
        tally: Counter[str] = Counter()
        for case, answer in zip(found, answers, strict=True):
            for finding in FINDINGS:
                want, got = case.expect.get(finding, ""), answer.get(finding, "")
                for status in ("present", "absent", "uncertain"):
                    tally[f"{status} wanted"] += want == status
                    tally[f"{status} given"] += got == status
                    tally[f"{status} both"] += want == got == status
            for tag in case.tags:
                tally[f"tag {tag}"] += 1
                tally[f"right {tag}"] += answer == case.expect
        for status in ("present", "absent", "uncertain"):
            both = tally[f"{status} both"]
            print(f"  {status:9s} recall {shown(both, tally[f'{status} wanted'])}", end="")
            print(f"   precision {shown(both, tally[f'{status} given'])}")
        wrong = [t[4:] for t in tally if t.startswith("tag ") and tally[f"right {t[4:]}"] < tally[t]]
        for tag in sorted(wrong):
            print(f"  {tag}: {tally[f'right {tag}']} of {tally[f'tag {tag}']}")


def shown(right: int, n: int) -> str:
    estimate = wilson(right, n)
    return f"{right}/{n} = {right / n:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"


if __name__ == "__main__":
    main()
