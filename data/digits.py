"""Make digits.npz, beside this file, anew: only this needs scikit-learn."""

from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

digits = load_digits()
arrays = {"pictures": digits.images.astype(np.uint8), "labels": digits.target.astype(np.uint8)}
np.savez_compressed(Path(__file__).with_suffix(".npz"), **arrays)
