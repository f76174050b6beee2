"""Augmentations, batched and on the device: each draws its parameters from a generator, then applies them.

Parameters are drawn for the batch of all processes and shared out, so that a view does not depend on their number.
One that is off is not applied. The order is that of the sound's own way to a listener:

1. the source: time stretch (first, as it takes more samples than it leaves), pitch shift, flip;
2. the room, after the flip, as no reverberation comes before its sound;
3. noise at the microphone, which has no reverberation of that room;
4. the recording: fade, padding, so that noise fades with the sound and silence is digital silence;
5. log-mel;
6. SELFIE's three: another recording as background, resize crop, fader;
7. masks, which stand for what is missing rather than for a sound, so nothing may move or blur them;
8. post-normalisation, of what the encoder gets.
"""

from training.augment.background import BackgroundMix, Mix
from training.augment.config import AugmentConfig
from training.augment.draws import take
from training.augment.fader import LinearFader, Ramp
from training.augment.resize_crop import Boxes, IndependentResizeCrop, RandomResizeCrop
from training.augment.spectrogram import Augmentation, build_augmentation
from training.augment.waveform import WaveformAugmentation, build_waveform_augmentation, samples_beside

__all__ = [
    "AugmentConfig",
    "Augmentation",
    "BackgroundMix",
    "Boxes",
    "IndependentResizeCrop",
    "LinearFader",
    "Mix",
    "Ramp",
    "RandomResizeCrop",
    "WaveformAugmentation",
    "build_augmentation",
    "build_waveform_augmentation",
    "samples_beside",
    "take",
]
