"""The linear layers of a model in int8, with the oneDNN kernels of torch (Jacob et al. 2018).

Weights have a scale for each output, inputs one scale a layer, fixed once from the texts of `CALIBRATION`. Fixed: were
it found for each batch, a text's vector would depend on the texts beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

CALIBRATION: tuple[str, ...] = (
    "fever",
    "What is the treatment of choice for community-acquired pneumonia?",
    "no evidence of pulmonary embolism",
    "HbA1c 8.4 %, creatinine 1.9 mg/dl, CRP 112 mg/l, WBC 14.2 G/l, Hb 9.8 g/dl, platelets 87 G/l, INR 2.4.",
    (
        "MEDICATIONS: 1. Metoprolol succinate 47.5 mg 1-0-1. 2. Ramipril 5 mg 1-0-0. 3. Apixaban 2 x 5 mg. 4. Insulin "
        "glargine 18 units at night. 5. Pantoprazole 40 mg."
    ),
    (
        "The patient is a 67-year-old man with a history of hypertension, type 2 diabetes and coronary artery disease who "
        "presented with three days of worsening shortness of breath, orthopnoea and swelling of both legs. He denies chest "
        "pain, fever or cough. On examination the jugular veins were distended, there were crackles over both lung bases "
        "and pitting oedema to the knees. The chest radiograph showed cardiomegaly and small pleural effusions."
    ),
    (
        "IMPRESSION: 1. No acute intracranial haemorrhage. 2. Chronic small vessel disease. 3. Mucosal thickening of the "
        "left maxillary sinus. FINDINGS: The ventricles are of normal size. There is no shift of the midline."
    ),
    (
        "Background. Mutations of the cystic fibrosis transmembrane conductance regulator (CFTR) change the transport of "
        "chloride. Methods. We studied 142 patients homozygous for ΔF508 in a randomised, double-blind, placebo-controlled "
        "trial. Results. Forced expiratory volume in one second rose by 3.4 percentage points (95 % CI 1.2 to 5.6; p = "
        "0.003). Conclusions. Treatment improved lung function; adverse events were mild."
    ),
    (
        "Family history: mother with breast cancer at 52, father died of myocardial infarction. Social history: 40 pack "
        "years, stopped 2015; alcohol on weekends. Allergies: penicillin (rash)."
    ),
    (
        "What are the symptoms of Marfan syndrome? Marfan syndrome affects the connective tissue. People are often tall "
        "and slender, have long arms, legs, fingers and toes, flexible joints and scoliosis. The most serious complications "
        "involve the heart and the aorta, with a raised risk of mitral valve prolapse and aortic aneurysm."
    ),
    "(1) p.Arg1708His; c.5123C>T -- rs80357 ... [A-D] *** 2 + 2 / 7 <> @ # $ % & _ | ~",
    "Der Patient klagte über Übelkeit und Erbrechen. La paciente niega dolor torácico.",
    "",
    "pain pain pain pain pain pain pain pain pain pain pain pain pain pain pain pain pain pain pain pain pain pain",
)
"""Of the kinds that a corpus has: queries, notes, values, lists, abstracts, other languages, little, much of one."""


@dataclass(slots=True)
class _Range:
    """Least and largest input of a layer; 0 is always in between."""

    low: float = 0.0
    high: float = 0.0

    def see(self, _: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        self.low = min(self.low, float(inputs[0].min()))
        self.high = max(self.high, float(inputs[0].max()))


class Int8Linear(nn.Module):
    """A linear layer whose inputs are rounded to 256 steps between the ends of their range; float in and out.

    A row's outputs do not depend on the rows beside it.
    """

    def __init__(self, linear: nn.Linear, seen: _Range) -> None:
        super().__init__()
        weight = linear.weight.detach()
        self._scales = (weight.abs().amax(1) / 127).clamp_min(1e-12)
        rounded = (weight / self._scales[:, None]).round().to(torch.int8)
        self._packed = torch.ops.onednn.qlinear_prepack(rounded, None)
        self._zeros = torch.zeros(len(weight), dtype=torch.int32)
        self._bias = None if linear.bias is None else linear.bias.detach()
        self._step = max(seen.high - seen.low, 1e-6) / 255
        self._zero = round(-seen.low / self._step)
        self._rounding = torch.tensor(self._zero + 0.5)

    def forward(self, inputs: Tensor) -> Tensor:
        steps = torch.add(self._rounding, inputs, alpha=1 / self._step).clamp_(0, 255).to(torch.uint8)
        outputs: Tensor = torch.ops.onednn.qlinear_pointwise(
            steps,
            self._step,
            self._zero,
            self._packed,
            self._scales,
            self._zeros,
            self._bias,
            1.0,
            0,
            torch.float32,
            "none",
            [],
            "",
        )
        return outputs


def quantise(model: nn.Module, calibrate: Callable[[], object]) -> None:
    """Replace the linear layers that work while `calibrate` runs the model on its texts."""
    ranges: dict[str, _Range] = {}
    hooks = [
        layer.register_forward_pre_hook(ranges.setdefault(name, _Range()).see)
        for name, layer in model.named_modules()
        if isinstance(layer, nn.Linear)
    ]
    try:
        calibrate()
    finally:
        for hook in hooks:
            hook.remove()
    for name, seen in ranges.items():
        if seen.high > seen.low:
            parent, _, own = name.rpartition(".")
            layer = model.get_submodule(name)
            assert isinstance(layer, nn.Linear)  # noqa: S101 - it was chosen as one
            setattr(model.get_submodule(parent), own, Int8Linear(layer, seen))
