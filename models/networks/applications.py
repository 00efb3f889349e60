"""The networks of ``keras.applications``, as backbones: their names, sizes and preprocessing.

The table is here, and not read from Keras, so that a study is checked without loading Keras. A test
compares it with the installed version.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Application:
    """A network of ``keras.applications``.

    Attributes
    ----------
    module : the module with its function ``preprocess_input``.
    preprocessing : how that function maps pixels from 0 to 255: ``tf`` to -1 to 1; ``caffe`` to
        blue, green, red minus their means on ImageNet; ``torch`` to standard scores on ImageNet;
        ``none``: the network contains it.
    least_size : pixels per side, at least.
    """

    module: str
    preprocessing: str
    least_size: int = 32


def _family(application: Application, names: str) -> dict[str, Application]:
    return dict.fromkeys(names.split(), application)


APPLICATIONS: dict[str, Application] = {
    **_family(
        Application("convnext", "none"),
        "ConvNeXtTiny ConvNeXtSmall ConvNeXtBase ConvNeXtLarge ConvNeXtXLarge",
    ),
    **_family(Application("densenet", "torch"), "DenseNet121 DenseNet169 DenseNet201"),
    **_family(
        Application("efficientnet", "none"),
        " ".join(f"EfficientNetB{number}" for number in range(8)),
    ),
    **_family(
        Application("efficientnet_v2", "none"),
        " ".join(f"EfficientNetV2{size}" for size in ("B0", "B1", "B2", "B3", "S", "M", "L")),
    ),
    **_family(Application("inception_resnet_v2", "tf", 75), "InceptionResNetV2"),
    **_family(Application("inception_v3", "tf", 75), "InceptionV3"),
    **_family(Application("mobilenet", "tf"), "MobileNet"),
    **_family(Application("mobilenet_v2", "tf"), "MobileNetV2"),
    **_family(Application("mobilenet_v3", "none"), "MobileNetV3Small MobileNetV3Large"),
    **_family(Application("nasnet", "tf"), "NASNetMobile NASNetLarge"),
    **_family(Application("resnet", "caffe"), "ResNet50 ResNet101 ResNet152"),
    **_family(Application("resnet_v2", "tf"), "ResNet50V2 ResNet101V2 ResNet152V2"),
    **_family(Application("vgg16", "caffe"), "VGG16"),
    **_family(Application("vgg19", "caffe"), "VGG19"),
    **_family(Application("xception", "tf", 71), "Xception"),
}
#: The means of red, green and blue on ImageNet, 0 to 255, as "caffe" subtracts them.
CAFFE_MEANS = (123.68, 116.779, 103.939)
#: The means and standard deviations of red, green and blue on ImageNet, 0 to 1, of "torch".
TORCH_MEANS, TORCH_DEVIATIONS = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
