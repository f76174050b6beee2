"""ResNet-50, of one log-mel or of three that are stacked."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from selfie_hear.config import ConfigError
from selfie_hear.encoders.strided import StridedEncoder, half_field
from selfie_hear.encoders.transformers_extra import transformers

DEPTHS = (3, 4, 6, 3)  # blocks in each stage (He et al. 2016, table 1)


class ResNet50(StridedEncoder):
    """The encoder of Lin (2022, section 2.1), the plain network of He et al.; 23.5 M parameters as it stands.

    `(B, 1, 64, T)` -> BatchNorm -> `stacked` copies as input channels -> ResNet-50 -> the mean over frequencies of
    each frame -> `(B, T // 4, 2048)`. Lin stacks three log-mels, and they are the same one ("there is redundancy with
    inputting the same mel-spectrogram for each channel", chapter 4): three channels take the weights of networks of
    images, and hear nothing that one does not.

    Its frames are of 32 mel frames (320 ms) and see 213 (2.1 s) on each side of their centres: a context that is
    bounded, so a clip is heard as a whole. The network is that of the `transformers` extra, which strides in the
    middle convolution of a block.
    """

    def __init__(
        self,
        n_mels: int = 64,  # noqa: ARG002 - of any number
        stacked: int = 3,
        channels: int = 64,
        input_mean: float | None = None,
        input_std: float | None = None,
    ) -> None:
        """
        Args:
            stacked: copies of the log-mel, 1 or 3.
            channels: of the first convolution; the last stage has 32 times as many.

        Raises:
            ConfigError: another number of copies; see `input_norm`.
            MissingExtraError: transformers is not installed.
        """
        if stacked not in (1, 3):
            raise ConfigError(f"resnet50: stacked must be 1 or 3, got {stacked}")
        strides = [2 if stage and not block else 1 for stage, depth in enumerate(DEPTHS) for block in range(depth)]
        layers = [(7, 2), (3, 2), *[(3, stride) for stride in strides]]
        super().__init__(32, half_field=half_field(layers), input_mean=input_mean, input_std=input_std)
        self.stacked = stacked
        self.dim = 32 * channels
        library = transformers("resnet50")
        config = library.ResNetConfig(
            num_channels=stacked,
            embedding_size=channels,
            hidden_sizes=[4 * channels, 8 * channels, 16 * channels, 32 * channels],
            depths=list(DEPTHS),
        )
        self.resnet = library.ResNetModel(config)
        for stage in self.resnet.encoder.stages:
            for block in stage.layers:  # begins as its shortcut, as in ResNetish-34
                nn.init.zeros_(block.layer[-1].normalization.weight)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def network(self, x: Tensor) -> Tensor:
        maps: Tensor = self.resnet(x.expand(-1, self.stacked, -1, -1)).last_hidden_state
        return maps.mean(2).transpose(1, 2)
