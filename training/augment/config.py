"""What the augmentations draw from; an augmentation whose probability, number or strength is 0 is off."""

from __future__ import annotations

from dataclasses import dataclass

from selfie_hear.config import ConfigError

CROPS = ("area", "sides", "none")


@dataclass(frozen=True)
class AugmentConfig:
    """Strengths and probabilities; SELFIE's three (its section 2.2) are on, the others off until they are set.

    Raises:
        ConfigError: a value without sense; the message says which are accepted.
    """

    crop_scale: tuple[float, float] = (0.6, 1.5)  # area of the random resize crop, relative to the input
    crop_aspect: tuple[float, float] = (0.75, 1.33)  # its width to height
    crop_canvas: tuple[float, float] = (1.0, 1.5)  # height and width that it is taken from, relative to the input
    background_share: float = 0.2  # largest share of another clip
    fader_gain: float = 1.0  # largest gain at either end, log-mel units
    crop_by: str = "area"  # and aspect (SELFIE), its "sides" one by one (BYOL-A), or "none"
    crop_height: tuple[float, float] = (0.6, 1.5)  # of a crop by its sides, relative to the input
    crop_width: tuple[float, float] = (0.6, 1.5)  # the same
    time_masks: int = 0  # how many
    time_mask_frames: int = 12  # widest
    frequency_masks: int = 0  # how many
    frequency_mask_bands: int = 16  # widest
    post_norm: bool = False  # give the batch the mean and deviation back that it had before
    stretch_probability: float = 0.0
    stretch: float = 0.1  # largest change of speed: 0.1 is 0.9 to 1.1 times as fast
    pitch_probability: float = 0.0
    pitch_semitones: float = 2.0  # largest, up or down
    flip_probability: float = 0.0  # of playing backwards
    room_probability: float = 0.0
    room_rt60: tuple[float, float] = (0.2, 1.0)  # s: reverberation time at 1 kHz
    room_direct_ratio: tuple[float, float] = (0.0, 15.0)  # dB: direct sound to reverberation
    noise_probability: float = 0.0
    noise_snr: tuple[float, float] = (5.0, 30.0)  # dB
    noise_slope: tuple[float, float] = (0.0, 0.0)  # dB per octave: white 0, pink -3, brown -6
    fade_probability: float = 0.0
    fade_share: float = 0.5  # largest part of the crop that fades in, and that fades out
    padding_seconds: float = 0.0  # s: largest silence before or after, as the sound moves

    def __post_init__(self) -> None:
        self._expect("crop_by", self.crop_by in CROPS, f"one of {', '.join(CROPS)}")
        self._expect("background_share", 0 <= self.background_share < 1, "in [0, 1)")
        self._expect("crop_canvas", min(self.crop_canvas) > 0, "positive")
        for name in ("crop_scale", "crop_aspect", "crop_height", "crop_width", "room_rt60"):
            low, high = getattr(self, name)
            if not 0 < low <= high < float("inf"):
                raise ConfigError(f"augment.{name}: expected 0 < low <= high, got {low}, {high}")
        for name in ("room_direct_ratio", "noise_snr", "noise_slope"):
            low, high = getattr(self, name)
            if not -float("inf") < low <= high < float("inf"):
                raise ConfigError(f"augment.{name}: expected low <= high, got {low}, {high}")
        for what in ("stretch", "pitch", "flip", "room", "noise", "fade"):
            name = f"{what}_probability"
            self._expect(name, 0 <= getattr(self, name) <= 1, "in [0, 1]")
        self._expect("stretch", 0 <= self.stretch < 1, "in [0, 1)")
        self._expect("pitch_semitones", 0 <= self.pitch_semitones <= 24, "in [0, 24]")
        self._expect("fade_share", 0 <= self.fade_share <= 0.5, "in [0, 0.5]")
        self._expect("padding_seconds", 0 <= self.padding_seconds < float("inf"), "at least 0 s")
        for name in ("time_masks", "frequency_masks"):
            self._expect(name, getattr(self, name) >= 0, "at least 0")
        for name in ("time_mask_frames", "frequency_mask_bands"):
            self._expect(name, getattr(self, name) >= 1, "at least 1")

    def _expect(self, name: str, holds: bool, accepted: str) -> None:
        if not holds:
            raise ConfigError(f"augment.{name}: must be {accepted}, got {getattr(self, name)}")
