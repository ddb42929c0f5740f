"""LeNet-5: Gradient-Based Learning Applied to Document Recognition, 1998, section II.B."""

from costmodel.graph import Tensor, block
from costmodel.ops import AveragePool, Conv, Flatten, Input, Linear, Tanh
from costmodel.zoo import architecture


@architecture(params="0.06 M", source="LeCun et al. 1998, section II.B; C3 fully connected, as it is run today")
def lenet5(size: int = 32, classes: int = 10) -> Tensor:
    """LeNet-5: two 5x5 convolutions with 2x2 mean pools, then three dense layers."""
    x = Input((1, 1, size, size))()
    with block("features"):
        x = Tanh()(Conv(6, kernel=5)(x, name="C1"), name="tanh1")
        x = AveragePool(kernel=2)(x, name="S2")
        x = Tanh()(Conv(16, kernel=5)(x, name="C3"), name="tanh3")
        x = AveragePool(kernel=2)(x, name="S4")
    with block("classifier"):
        x = Flatten()(x, name="flatten")
        x = Tanh()(Linear(120)(x, name="C5"), name="tanh5")
        x = Tanh()(Linear(84)(x, name="F6"), name="tanh6")
        return Linear(classes)(x, name="output")
