"""What comes next in a monthly series, by a plain recurrent network.

Network: the last 48 months, without season and relative to how far one lies from the next, through 16 units with tanh;
of the last state, how far the level and its slope are from what is simple: the last month with its season and half
of the last year's slope.
Source: Elman, Finding structure in time, Cognitive Science 14:179, 1990.
Data: turnover of Australian cafes, 426 months from 1982 on, the longest monthly series at hand (ABS, CC BY 4.0): 246
months to train with, 84 to find the intervals' widths, the last 96 held out.
Expected: a mean absolute scaled error of 1.3 to 1.6; the seasonal naive forecast has 2.8, exponential smoothing 1.0.
Run time: a minute on one core.
Limits: one series, in which turnover grows; of another one it knows only what its history says.
"""

from training.kinds import series

RECIPE = series.recipe(
    "rnn",
    description="Forecasts monthly series by a plain recurrent network, with prediction intervals.",
    hyper=series.Hyper(),
)
