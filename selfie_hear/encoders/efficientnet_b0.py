"""EfficientNet-B0, the encoder of COLA."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from selfie_hear.config import ConfigError
from selfie_hear.encoders.strided import StridedEncoder
from selfie_hear.encoders.transformers_extra import transformers


class EfficientNetB0(StridedEncoder):
    """The encoder of COLA (Saeed et al. 2021) and of Emami et al. (section 3.1); 4.0 M parameters as it stands.

    `(B, 1, 64, T)` -> BatchNorm -> EfficientNet-B0 (Tan and Le 2019) -> the maximum over frequencies of each frame,
    as in COLA -> `(B, T // 4, 1280)`.

    Its frames are of 32 mel frames (320 ms). Squeeze and excitation weigh channels by their mean over a segment.
    The network is that of the `transformers` extra, without dropout; the papers speak of none.
    """

    def __init__(
        self,
        n_mels: int = 64,
        width: float = 1.0,
        segment: int = 256,
        input_mean: float | None = None,
        input_std: float | None = None,
    ) -> None:
        """
        Args:
            width: what the channels of B0 are multiplied with.
            segment: mel frames over which squeeze and excitation look; a multiple of 32.

        Raises:
            ConfigError: `n_mels` is no multiple of 32; a wrong width or segment; see `input_norm`.
            MissingExtraError: transformers is not installed.
        """
        if n_mels % 32:
            raise ConfigError(f"efficientnet_b0: n_mels must be a multiple of 32, got {n_mels}")
        if not 0 < width <= 1:
            raise ConfigError(f"efficientnet_b0: width must be in (0, 1], got {width}")
        # The library pads strided convolutions at the end, so a frame is centred on the last of its own mel frames.
        super().__init__(32, segment=segment, centre=31.0, input_mean=input_mean, input_std=input_std)
        self.dim = 8 * max(1, int(1280 * width + 4) // 8)  # rounded as the library rounds channels
        library = transformers("efficientnet_b0")
        config = library.EfficientNetConfig(
            num_channels=1,
            width_coefficient=width,
            depth_coefficient=1.0,
            hidden_dim=self.dim,
            batch_norm_momentum=0.1,  # the default 0.99 is TensorFlow's, which here would keep the last batch alone
            drop_connect_rate=0.0,
        )
        self.efficientnet = library.EfficientNetModel(config)
        for module in self.efficientnet.modules():  # the library's own leave nothing of the input at the output
            if isinstance(module, nn.Conv2d):  # as Tan and Le
                fan_out = module.weight[0, 0].numel() * module.out_channels // module.groups
                nn.init.normal_(module.weight, std=(2 / fan_out) ** 0.5)
            if isinstance(module, nn.BatchNorm2d):
                module.reset_parameters()
        for block in self.efficientnet.encoder.blocks:  # gates begin equal, residual blocks as in ResNetish-34
            nn.init.zeros_(block.squeeze_excite.expand.weight)
            if block.projection.apply_dropout:
                nn.init.zeros_(block.projection.project_bn.weight)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def network(self, x: Tensor) -> Tensor:
        maps: Tensor = self.efficientnet(x).last_hidden_state
        return maps.amax(2).transpose(1, 2)
