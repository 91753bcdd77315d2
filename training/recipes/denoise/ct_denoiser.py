"""A residual U-Net that takes the noise out of CT slices, and leaves a slice alone that has next to none.

Network: it finds the noise about each place in the slice itself, in three bands of its spectrum, by a harmonic mean
that the calmest neighbours decide; the correction is a multiple of what was found, and shrinks to nothing with it. The
slice is shown through three windows (lung, soft tissue, bone), as a radiologist looks at it, and as detail in units of
its noise, to a U-Net of residual blocks at 1/2, 1/4 and 1/8 of the resolution.
What is served bounds the correction, see `Tempered`: next to nothing is left out, what stands out is held back, and no
more than 32 HU are taken anywhere, so that slices with more noise keep some of it, and their faint edges. Padding below
-1024 HU stays as it is. 0.6 M parameters, any size from 32x32.
Sources: Ronneberger et al., U-Net, MICCAI 2015; Zhang et al., FFDNet, IEEE Trans. Image Process. 27(9), 2018 (a network
that knows the noise level); Chen et al., Low-dose CT with a residual encoder-decoder, IEEE Trans. Med. Imaging 36(12),
2017.
Data: CT of two patients' chests, 5 mm slices, BSD-3-Clause, and drawn anatomy (`training/images/anatomy.py`): chests,
abdomens, heads and breasts with lesions of known contrast. The first patient trains the network; 6 neighbouring slices,
15 mm away from the rest, validate it. The second patient only measures the result: the intervals speak of that
patient's slices, not of other patients.
Dose: scanners with fan and parallel beams, 240 to 1160 views, kernels from soft to sharp and doses over a range of 1 to
33 (`training/images/scanner.py`, `ct_pairs.py`), at pixels of 0.35 to 1.4 mm. The noise alone goes through the
reconstruction and is laid over the slice, which is the reference: nothing asks the network to undo blur. A patient's
slice keeps the noise of its own scan, which nobody can predict and which limits every figure. Figures are of 360 views,
a kernel that a Hann window ends at 0.8 of the highest frequency, and 400,000 photons per ray as the normal dose: a
"quarter dose" is this simulator's and not any scanner's.
Training: 12 epochs, begun with the weights of the version before, by the error in units of the noise and by what is
lost of edges beyond 3 %, and of lesions that are laid over every other patch, beyond a quarter of their contrast, while
the learning rate falls to nothing. That version had learned for 60 epochs, the last 12 by what edges lose.
Harm: FAINT_HU, UNEVEN and MOST_HU of `training/networks/denoiser.py` and the sizes of pixels that are taken were chosen
so that no cell of the grid of `training/measures/no_harm.py` is worse after than before. It shows drawn bodies and
validation slices. With 50 HU, or any share of the noise that was found from a half on, two cells of an abdomen at
0.5 mm lost 5.6 to 8.4 % of their edges, where 5 % are let through: so the bound is a constant. At 0.4 and 0.45 mm faint
edges in the strongest noise lost more before.
Expected: PSNR on the second patient rises by 4.3 dB at a quarter of the normal dose and by 4.5 dB at a tenth, where the
32 HU are the bound; 1.2 and 0.6 dB more than BM3D does. Faint lesions lose contrast: of 20 HU, those of 5 mm keep 43 %
and those of 12 mm 77 % at a quarter of the dose; a model observer sees them better than in the noise.
Run time: half an hour on half a core, and a quarter of an hour for the noise to learn from, which is made once.
`evaluate` takes four minutes of one core; `evaluate ct-denoiser --part grid` measures the harm alone.
"""

from torch import nn

from training.kinds import ct_learning, denoising
from training.kinds.ct_learning import Learning
from training.networks.denoiser import Denoiser, Tempered
from training.run import Run


def train(run: Run[Learning]) -> nn.Module:
    def begun() -> Denoiser:
        network = Denoiser(run.hyper.widths)
        if run.start:
            ct_learning.begin(network, run.start)
        return network

    served = Tempered(run.hyper.widths)
    served.load_state_dict(ct_learning.train(run, begun).state_dict())
    return served


RECIPE = denoising.recipe(
    description="Takes the noise out of low-dose CT slices with a residual U-Net that knows how much there is.",
    hyper=Learning(),
    train=train,
    warm={"early_epochs": 0, "learning_rate": 1e-4},
)
