"""The shared mapping between CT and PET points, against ITK's own transforms."""

import numpy as np
import pytest
import SimpleITK as sitk

from calciflow import mapping
from calciflow.mapping import Mapping, load_mapping, to_matrix, to_transform

POINTS = np.array([[0.0, 0, 0], [120, -35, 480], [-210, 88, -700.5], [3, 1, 2]])
LPS = np.array([-1.0, -1, 1])


def euler():
    transform = sitk.Euler3DTransform()
    transform.SetCenter([10, -20, 300])
    transform.SetRotation(0.05, -0.03, 0.02)
    transform.SetTranslation([4, -6, 2.5])
    return transform


def test_a_transform_file_maps_points_as_itk_does(tmp_path):
    transform = euler()
    sitk.WriteTransform(transform, str(tmp_path / "x.tfm"))
    mapping = load_mapping(tmp_path / "x.tfm")
    expected = np.array([transform.TransformPoint((LPS * p).tolist()) for p in POINTS]) * LPS
    np.testing.assert_allclose(mapping.ct_to_pet(POINTS), expected, atol=1e-9)
    np.testing.assert_allclose(mapping.pet_to_ct(expected), POINTS, atol=1e-9)


def test_matrix_and_transform_are_inverse_to_each_other():
    matrix = to_matrix(euler())
    np.testing.assert_allclose(to_matrix(to_transform(matrix)), matrix, atol=1e-12)


def test_identity_moves_nothing():
    np.testing.assert_array_equal(Mapping.identity().ct_to_pet(POINTS), POINTS)
    np.testing.assert_array_equal(Mapping.identity().pet_to_ct(POINTS), POINTS)


def test_no_points_give_no_points():
    assert Mapping.identity().pet_to_ct(np.zeros((0, 3))).shape == (0, 3)


def field_image():
    """A smooth displacement in LPS mm: 8 mm along +x (patient's left) around the origin, on a 20 mm grid."""
    z, y, x = np.meshgrid(*[np.arange(-200, 201, 20.0)] * 3, indexing="ij")
    strength = 8 * np.exp(-(x**2 + y**2 + z**2) / (2 * 80.0**2))
    image = sitk.GetImageFromArray(np.stack([strength, 0 * x, -0.5 * strength], -1).astype(np.float32), isVector=True)
    image.SetOrigin([-200, -200, -200])
    image.SetSpacing([20, 20, 20])
    return image


def test_a_field_adds_to_the_rigid_part_as_itk_samples_it(tmp_path):
    sitk.WriteTransform(euler(), str(tmp_path / "x.tfm"))
    sitk.WriteImage(field_image(), str(tmp_path / "f.nii.gz"))
    mapping = load_mapping(tmp_path / "x.tfm", tmp_path / "f.nii.gz")
    points = np.random.default_rng(0).uniform(-150, 150, (200, 3))
    field = sitk.DisplacementFieldTransform(sitk.Cast(field_image(), sitk.sitkVectorFloat64))
    rigid = euler()
    expected = []
    for p in points * LPS:
        moved = np.array(field.TransformPoint(p.tolist())) - p
        expected.append(LPS * (np.array(rigid.TransformPoint(p.tolist())) + moved))
    np.testing.assert_allclose(mapping.ct_to_pet(points), expected, atol=1e-4)
    np.testing.assert_allclose(mapping.pet_to_ct(np.array(expected)), points, atol=2e-3)


def test_beyond_its_border_the_field_keeps_its_edge_value(tmp_path):
    sitk.WriteTransform(sitk.Euler3DTransform(), str(tmp_path / "x.tfm"))
    image = sitk.Image([4, 4, 4], sitk.sitkVectorFloat32, 3) + sitk.Image([4, 4, 4], sitk.sitkVectorFloat32, 3)
    array = np.zeros((4, 4, 4, 3), np.float32)
    array[..., 2] = 5
    image = sitk.GetImageFromArray(array, isVector=True)
    sitk.WriteImage(image, str(tmp_path / "f.nii.gz"))
    mapping = load_mapping(tmp_path / "x.tfm", tmp_path / "f.nii.gz")
    np.testing.assert_allclose(mapping.ct_to_pet([[900.0, -900, 900]]), [[900, -900, 905]])


def test_a_nonlinear_file_is_refused():
    with pytest.raises(ValueError, match="linear"):
        to_matrix(sitk.DisplacementFieldTransform(sitk.Cast(field_image(), sitk.sitkVectorFloat64)))


def test_a_mapping_without_a_field_has_none_to_write_and_moves_nothing_by_it():
    with pytest.raises(ValueError, match="has no displacement field"):
        mapping.field_image(Mapping.identity())
    np.testing.assert_array_equal(Mapping.identity().displacement([[1.0, 2.0, 3.0]]), [[0.0, 0.0, 0.0]])
