"""A script in place of a segmentation program (nnU-Net, TotalSegmentator): label 1 where the volume is bright."""

import stat
import sys
from pathlib import Path

PROGRAM = """#!{python}
# Stands in for a segmentation program (nnU-Net, TotalSegmentator): label 1 where the volume is bright.
import gzip, sys, time
import numpy as np
from coread.imaging.nifti import read_nifti, write_nifti
if "--version" in sys.argv:
    print("brightness 2.5.0"); sys.exit()
source, target = sys.argv[1:3]
values, affine = read_nifti(__import__("pathlib").Path(source))
mode = sys.argv[3] if len(sys.argv) > 3 else ""
if mode == "fail":
    print("CUDA out of memory"); sys.exit(3)
if mode == "silent":
    sys.exit()
if mode == "hang":
    time.sleep(60)
labels = (values > 0).astype("u1")
if mode == "turned":
    labels = np.flip(labels, 0); affine = affine.copy()
    affine[:3, 3] += affine[:3, 0] * (values.shape[0] - 1); affine[:3, 0] *= -1
if mode == "moved":
    affine = affine.copy(); affine[0, 3] += 7
write_nifti(__import__("pathlib").Path(target), np.ascontiguousarray(labels), affine)
"""


def write_program(path: Path, level: float = 0.0) -> Path:
    """Write the program; voxels above ``level`` get the label."""
    path.write_text(PROGRAM.replace("{python}", sys.executable).replace("values > 0", f"values > {level:g}"))
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path
