import cv2
import numpy as np

from retinagrade.images.contrast import clahe


def test_raises_contrast_of_lightness_keeps_hue_and_blackens_the_outside() -> None:
    rng = np.random.default_rng(0)
    flat = np.clip(rng.normal((120, 60, 25), 4, (250, 250, 3)), 0, 255).astype(np.uint8)
    inside = np.zeros((250, 250), bool)
    inside[20:230, 20:230] = True
    equalised = clahe(flat, inside)
    assert not equalised[~inside].any()
    before, after = (cv2.cvtColor(pixels, cv2.COLOR_RGB2LAB)[inside].astype(float) for pixels in (flat, equalised))
    assert after[:, 0].std() > 1.5 * before[:, 0].std()
    np.testing.assert_allclose(after[:, 1:].mean(axis=0), before[:, 1:].mean(axis=0), atol=3)


def test_is_opencvs_on_five_by_five_tiles_of_any_size() -> None:
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 255, (251, 333, 3), np.uint8)
    lab = cv2.cvtColor(pixels, cv2.COLOR_RGB2LAB)
    lab[..., 0] = cv2.createCLAHE(2.0, (5, 5)).apply(lab[..., 0])
    expected = cv2.cvtColor(lab, cv2.COLOR_LAB2RGB)
    assert np.array_equal(clahe(pixels, np.ones((251, 333), bool)), expected)
